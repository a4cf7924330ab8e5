"""Small worlds for the tests of rules and derivation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from towpath.derive import Derived, derive
from towpath.model.cluster import Member
from towpath.model.condition import Condition
from towpath.model.export import Export, ExportRule
from towpath.model.keys import Dialect, ServiceKey, cluster_key
from towpath.model.service import Service, ServicePort
from towpath.model.view import View
from towpath.model.world import ExportedService, Offer, World
from towpath.rules.reasons import Excluded

KEY = ServiceKey(Dialect.FLOMESH, "shop", "web")
UID = "0a0b"


def member(name: str, host: str = "", **more: object) -> Member:
    host = host or f"10.0.0.{sum(map(ord, name)) % 250}"
    return Member.model_validate({"name": name, "gateway_host": host, "imports": frozenset(Dialect), **more})


def fleet(*names: str) -> dict[str, Member]:
    return {name: member(name) for name in names}


def key_of(name: str) -> str:
    """Return the cluster key of a member that says nothing of where it is."""
    return cluster_key("default", "default", "default", name)


def export(*rules: tuple[int, str], targets: tuple[str, ...] = (), account: str = "") -> Export:
    return Export(
        rules=tuple(ExportRule(port_number=port, path=path) for port, path in rules),
        target_clusters=targets,
        service_account_name=account,
    )


def service(*ports: int | ServicePort, kind: str = "ClusterIP", **more: object) -> Service:
    some = tuple(p if isinstance(p, ServicePort) else ServicePort(port=p) for p in ports)
    return Service.model_validate({"type": kind, "ports": some, **more})


def port(number: int, name: str = "", protocol: str = "TCP", app: str | None = None) -> ServicePort:
    return ServicePort(port=number, name=name, protocol=protocol, app_protocol=app)


def offered(offers: Mapping[str, Offer], **more: object) -> ExportedService:
    return replace(ExportedService(KEY, UID, offers), **more)  # type: ignore[arg-type]


def world(members: Mapping[str, Member], *services: ExportedService, now: float = 0.0) -> World:
    return World(members, {one.key: one for one in services}, now=now)


def derived(
    offers: Mapping[str, Offer], members: Mapping[str, Member], now: float = 0.0, **more: object
) -> Derived:
    service = offered(offers, **more)
    return derive(world(members, service, now=now)).services[service.key]


def reasons(one: Derived) -> dict[str, Excluded]:
    """Return why each cluster that does not export does not."""
    return {cluster: exclusion.reason for cluster, exclusion in one.excluded.items()}


def condition(one: Derived, kind: str) -> Condition:
    [found] = [condition for condition in one.conditions if condition.type == kind]
    return found


def endpoints(view: View) -> dict[int, list[str]]:
    """Return the names of the clusters that a view has, by port number."""
    return {p.port: [e.cluster_key.rpartition("/")[2] for e in p.endpoints] for p in view.ports}


WEB = Offer(export((80, "/web")), service(80))
HEADLESS = Offer(WEB.export, service(80, cluster_ip="None"))

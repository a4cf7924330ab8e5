"""Small worlds for the tests of rules and derivation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from towpath.derive import Derived, derive
from towpath.model.cluster import Member
from towpath.model.export import Export, ExportRule
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.service import Service, ServicePort
from towpath.model.world import ExportedService, Offer, World

KEY = ServiceKey(Dialect.FLOMESH, "shop", "web")
UID = "0a0b"


def member(name: str, host: str = "", **more: object) -> Member:
    host = host or f"10.0.0.{sum(map(ord, name)) % 250}"
    return Member.model_validate({"name": name, "gateway_host": host, "imports": frozenset(Dialect), **more})


def fleet(*names: str) -> dict[str, Member]:
    return {name: member(name) for name in names}


def export(*rules: tuple[int, str], targets: tuple[str, ...] = (), account: str = "") -> Export:
    return Export(
        rules=tuple(ExportRule(port_number=port, path=path) for port, path in rules),
        target_clusters=targets,
        service_account_name=account,
    )


def service(*ports: int | ServicePort, kind: str = "ClusterIP") -> Service:
    return Service(
        type=kind, ports=tuple(p if isinstance(p, ServicePort) else ServicePort(port=p) for p in ports)
    )


def offered(offers: Mapping[str, Offer], **more: object) -> ExportedService:
    return replace(ExportedService(KEY, UID, offers), **more)  # type: ignore[arg-type]


def derived(
    offers: Mapping[str, Offer], members: Mapping[str, Member], now: float = 0.0, **more: object
) -> Derived:
    service = offered(offers, **more)
    return derive(World(members, {service.key: service}, now=now)).services[service.key]


WEB = Offer(export((80, "/web")), service(80))

"""Small worlds for the tests of rules and derivation, and an apiserver that stores the objects of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

from towpath.derivation.derive import Derived, derive
from towpath.derivation.render import Rendered
from towpath.derivation.stages import Current, Write, clusters_of, stages
from towpath.model.cluster import Member
from towpath.model.condition import Condition
from towpath.model.export import Export, ExportRule
from towpath.model.keys import Dialect, ServiceKey, cluster_key
from towpath.model.ownership import FIELD_MANAGER, import_policy_name
from towpath.model.service import Service, ServicePort
from towpath.model.view import View
from towpath.model.world import ExportedService, Offer, World
from towpath.rules.reasons import ExclusionReason

KEY = ServiceKey(Dialect.FLOMESH, "shop", "web")
UID = "0a0b"


def member(name: str, host: str = "", **more: object) -> Member:
    host = host or f"10.0.0.{sum(map(ord, name)) % 250}"
    return Member.model_validate({"name": name, "gateway_host": host, "imports": frozenset(Dialect), **more})


def fleet(*names: str) -> dict[str, Member]:
    return {name: member(name) for name in names}


def key_of(name: str) -> str:
    """Return the cluster key of a member without region, zone and group."""
    return cluster_key("default", "default", "default", name)


def export(*rules: tuple[int, str], targets: tuple[str, ...] = (), account: str = "") -> Export:
    return Export(
        rules=tuple(ExportRule(port_number=port, path=path) for port, path in rules),
        target_clusters=targets,
        service_account_name=account,
    )


def service(*ports: int | ServicePort, kind: str = "ClusterIP", **more: object) -> Service:
    entries = tuple(p if isinstance(p, ServicePort) else ServicePort(port=p) for p in ports)
    return Service.model_validate({"type": kind, "ports": entries, **more})


def port(number: int, name: str = "", protocol: str = "TCP", app: str | None = None) -> ServicePort:
    return ServicePort(port=number, name=name, protocol=protocol, app_protocol=app)


def offered(offers: Mapping[str, Offer], **more: object) -> ExportedService:
    return replace(ExportedService(KEY, UID, offers), **more)  # type: ignore[arg-type]


def world(members: Mapping[str, Member], *services: ExportedService, now: float = 0.0) -> World:
    return World(members, {service.key: service for service in services}, now=now)


def derived(
    offers: Mapping[str, Offer], members: Mapping[str, Member], now: float = 0.0, **more: object
) -> Derived:
    service = offered(offers, **more)
    return derive(world(members, service, now=now)).services[service.key]


def reasons(result: Derived) -> dict[str, ExclusionReason]:
    """Return why each cluster that does not export does not."""
    return {cluster: exclusion.reason for cluster, exclusion in result.excluded.items()}


def condition(result: Derived, kind: str) -> Condition:
    [found] = [condition for condition in result.conditions if condition.type == kind]
    return found


def endpoints(view: View) -> dict[int, list[str]]:
    """Return the names of the clusters that a view has, by port number."""
    return {p.port: [e.cluster_key.rpartition("/")[2] for e in p.endpoints] for p in view.ports}


WEB = Offer(export((80, "/web")), service(80))


def scoped(*names: str) -> Offer:
    """Return an offer whose target clusters are these members."""
    return replace(WEB, export=export((80, "/web"), targets=tuple(map(key_of, names))))


HEADLESS = Offer(WEB.export, service(80, cluster_ip="None"))


def owned(wanted: object) -> dict[str, Any]:
    """Return the field set of an applied object, as the apiserver stores it; lists are atomic."""
    return (
        {f"f:{name}": owned(value) for name, value in wanted.items()} if isinstance(wanted, Mapping) else {}
    )


def merged(live: object, fields: Mapping[str, Any], wanted: object) -> object:
    """Return the result of server-side apply: fields of others stay, own fields that are not wanted go."""
    if not isinstance(live, Mapping) or not isinstance(wanted, Mapping):
        return deepcopy(wanted)
    kept = {name: value for name, value in live.items() if name in wanted or f"f:{name}" not in fields}
    return kept | {
        name: merged(live.get(name), fields.get(f"f:{name}", {}), value) for name, value in wanted.items()
    }


def lists_of_clusters(policy: Mapping[str, Any]) -> list[list[str]]:
    """Return every list of clusters that a policy has."""
    spec = policy["spec"]
    placed = [spec["placement"]["clusterAffinity"]["clusterNames"]] if "placement" in spec else []
    return [*placed, *(rule["targetCluster"]["clusterNames"] for rule in spec.get("overrideRules", ()))]


@dataclass
class Store:
    """The objects of one service at an apiserver that adds the fields of the real one and of Karmada."""

    objects: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    templates: list[dict[str, Any] | None] = field(default_factory=list)
    """Former templates, which Karmada may still go by."""
    listed: set[str] = field(default_factory=set)
    """Clusters of former PropagationPolicies, which the scheduler may not have taken from the binding yet."""

    def live(self) -> Current:
        overrides = {name: obj for (kind, name), obj in self.objects.items() if kind == "OverridePolicy"}
        return Current(
            self.objects.get(("ServiceImport", KEY.name)),
            self.objects.get(("PropagationPolicy", import_policy_name(KEY))),
            overrides,
            frozenset(self.listed),
        )

    def write(self, change: Write) -> None:
        obj = change.wanted or change.live or {}
        place = (obj["kind"], obj["metadata"]["name"])
        if obj["kind"] == "ServiceImport":
            # One that is deleted takes its binding along: what is made anew begins anew.
            self.templates = [*self.templates, self.objects.get(place)] if change.wanted else []
            self.listed = self.listed if change.wanted else set()
        if change.wanted is None:
            gone = self.objects.pop(place)
            uid = (change.live or {})["metadata"].get("uid", gone["metadata"]["uid"])
            assert uid == gone["metadata"]["uid"], "what is deleted has the uid of what is there"
            return
        assert all(lists_of_clusters(change.wanted)), "to Karmada an empty list means all clusters"
        was = self.objects.get(place) or {"metadata": {"uid": "made", "labels": {"karmada": "claims it"}}}
        [*_, fields] = was["metadata"].get("managedFields", [{"fieldsV1": {}}])
        now: Any = merged(was, fields["fieldsV1"], change.wanted)
        now["metadata"]["managedFields"] = [{"manager": FIELD_MANAGER, "fieldsV1": owned(change.wanted)}]
        now["spec"].setdefault("defaulted", "by a webhook")
        if obj["kind"] == "PropagationPolicy" and self.live().service_import:
            self.listed |= set(clusters_of(self.live().propagation))
        self.objects[place] = now

    def bring(
        self,
        wanted: Rendered,
        order: Callable[[list[Write]], list[Write]] = list,
        *,
        arrived: bool = False,
    ) -> Iterator[None]:
        """Write the missing changes, each stage in this order, and stop after each write."""
        for stage in stages(self.live(), wanted, arrived=arrived):
            assert stage
            for change in order(list(stage)):
                self.write(change)
                yield

    def settle(self, wanted: Rendered) -> None:
        """Write everything, and then what remains to be done once the members hold it."""
        for arrived in (False, True):
            for _ in self.bring(wanted, arrived=arrived):
                pass
            self.templates.clear()
            self.listed.clear()

    def sees(self, cluster: str) -> set[str]:
        """Return the cluster keys that Karmada may send to a cluster now.

        It goes by the template, or by one of before. It applies every matching rule, policies in the order of
        their names.
        """
        templates = [self.live().service_import, *self.templates]
        return {key for template in templates for key in self._made_of(template, cluster)}

    def _made_of(self, template: Mapping[str, Any] | None, cluster: str) -> set[str]:
        live = self.live()
        if template is None or live.propagation is None:
            return set()
        if cluster not in {*clusters_of(live.propagation), *self.listed}:
            return set()
        ports = template["spec"]["ports"]
        for _, policy in sorted(live.overrides.items()):
            for rule in policy["spec"]["overrideRules"]:
                if cluster in rule["targetCluster"]["clusterNames"]:
                    ports = rule["overriders"]["plaintext"][0]["value"]
        return {endpoint["clusterKey"] for port in ports for endpoint in port["endpoints"]}

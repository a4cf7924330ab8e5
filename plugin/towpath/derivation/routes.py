"""Routes on gateways that members have of their own: what a service gets there, as Kubernetes objects.

A member whose Karmada Cluster names a gateway ("route rule") gets an HTTPRoute or an Ingress for each service
that it exports: from the path of each rule to the port of the Service. A service has at most one of each
kind, and Karmada distributes it as it does an import: a PropagationPolicy names the members, and an
OverridePolicy replaces ``/spec`` with the complete value where it differs from the template.

As towpath-net does it, the path of the rule is taken off, unless ``towpath.io/keep-path`` or ``pathRewrite``
say otherwise. An Ingress cannot do that, so there a service needs the annotation, or the path ``/``.

What carries a route comes before the route, and routes come before the import that leads to them. A member
that exports no longer keeps its route until the other members have the import without it. A member that does
not serve the kind is not named until it does: Karmada's scheduler gives a member up that is named too early,
and looks at it again when the policy changes. One that is named already stays.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from towpath.derivation.derive import Derived, exporters_of
from towpath.derivation.drift import needs_apply
from towpath.derivation.render import POLICY_API, PRIORITY, TOLERATIONS, owned
from towpath.derivation.stages import Object, Write, clusters_of, rule_by_cluster, with_rules
from towpath.model.cluster import Fleet
from towpath.model.export import EXACT, KEEP_PATH_ANNOTATION, PathRewrite
from towpath.model.keys import ServiceKey
from towpath.model.ownership import route_name
from towpath.model.world import ExportedService
from towpath.rules.eligibility import is_set
from towpath.rules.gateway_route import GatewayRoute, RouteKind, parse_gateway_route
from towpath.rules.ports import Exporter
from towpath.rules.reasons import RouteReason
from towpath.rules.route_rewrite import UNCHANGED, PathChange, as_route, taken_off
from towpath.rules.transport import Transport, transport_of

_MOST_RULES = 16
"""Rules that an HTTPRoute may have (gateway.networking.k8s.io/v1)."""
Json = dict[str, Any]


@dataclass(frozen=True)
class LiveRoute:
    """The objects of one kind of route as they are. None = not there."""

    route: Object | None = None
    propagation: Object | None = None
    override: Object | None = None


NO_ROUTE = LiveRoute()


@dataclass(frozen=True)
class Routes:
    """``specs`` of each kind by the name of the member, and why a member that asks for a route gets none.

    ``without_kind`` are the members among them that do not serve the kind of their route.
    """

    specs: Mapping[RouteKind, Mapping[str, Json]] = field(default_factory=dict)
    problems: Mapping[str, RouteReason] = field(default_factory=dict)
    without_kind: frozenset[str] = frozenset()


NO_ROUTES = Routes()


def routes_of(service: ExportedService, derived: Derived, fleet: Fleet) -> Routes:
    """Return the routes of a service on the gateways of the clusters that export it."""
    specs: dict[RouteKind, dict[str, Json]] = {}
    problems: dict[str, RouteReason] = {}
    without_kind: set[str] = set()
    keeps = is_set(service.annotations.get(KEEP_PATH_ANNOTATION, ""))
    asking = [name for name in sorted(derived.exporters) if fleet.members[name].gateway_route]
    for exporter in exporters_of(service, asking, fleet):
        member = exporter.member
        asked = parse_gateway_route(member.gateway_route)
        problem = _why_none(exporter, asked, keeps=keeps)
        if problem is not None or asked is None:
            problems[member.name] = problem or RouteReason.MALFORMED
            continue
        make = _ingress if asked.kind is RouteKind.INGRESS else _http_route
        specs.setdefault(asked.kind, {})[member.name] = make(service.key, exporter, asked, keeps)
        if not member.serves_routes:
            without_kind.add(member.name)
    return Routes(specs, problems, frozenset(without_kind))


def route_objects(service: ExportedService, routes: Routes) -> tuple[Object, ...]:
    """Return the objects of all routes of a service, as they are written where there are none yet."""
    return tuple(
        write.wanted
        for kind in routes.specs
        for stage in route_stages(service.key, service.uid, kind, routes, NO_ROUTE, arrived=True)
        for write in stage
        if write.wanted is not None
    )


def route_stages(
    key: ServiceKey, uid: str, kind: RouteKind, routes: Routes, live: LiveRoute, *, arrived: bool
) -> Iterator[Sequence[Write]]:
    """Yield the stages that lead to the routes of one kind.

    ``uid`` is the ServiceExport's. ``arrived``: the members have the import that is derived now, so nobody
    calls a member that exports no longer.
    """
    early = routes.without_kind.difference(clusters_of(live.propagation))
    specs = {name: spec for name, spec in routes.specs.get(kind, {}).items() if name not in early}
    kept = {} if arrived else _kept(live, specs)
    wanted = {**kept, **specs}
    if not wanted:
        yield from _stage(Write(live.route, None))
        if live.route is None:
            yield from _stage(Write(live.propagation, None), Write(live.override, None))
        return
    template = wanted[min(wanted)]
    others = {name: spec for name, spec in sorted(wanted.items()) if spec != template}
    meta = _Owned(key, uid, kind)
    override = Write(live.override, meta.override(others) if others else None)
    # A rule that is not needed any more goes last: Karmada may read the former template for a while.
    yield from _stage(*([override] if others else []), Write(live.propagation, meta.propagation(wanted)))
    yield from _stage(Write(live.route, meta.route(template)))
    if not others and arrived:
        yield from _stage(override)


def _stage(*writes: Write) -> Iterator[Sequence[Write]]:
    needed = [write for write in writes if needs_apply(*write)]
    if needed:
        yield needed


def _why_none(exporter: Exporter, asked: GatewayRoute | None, *, keeps: bool) -> RouteReason | None:
    """Return why an exporting cluster gets no route."""
    if asked is None:
        return RouteReason.MALFORMED
    rules = list(_rules(exporter))
    if not rules:
        return RouteReason.NO_HTTP_PORT
    if asked.kind is RouteKind.HTTP_ROUTE and len(rules) > _MOST_RULES:
        return RouteReason.TOO_MANY_RULES
    changes = {_change(exporter, path, exact=exact, keeps=keeps) for path, exact, _ in rules}
    is_rewritten = _rewrite(exporter) is not None
    if None in changes or (asked.kind is RouteKind.INGRESS and is_rewritten and changes != {UNCHANGED}):
        return RouteReason.REWRITE
    if asked.kind is RouteKind.INGRESS and changes != {UNCHANGED}:
        return RouteReason.PATH_STAYS
    return None


def _rewrite(exporter: Exporter) -> PathRewrite | None:
    rewrite = exporter.export.path_rewrite
    return rewrite if rewrite is not None and rewrite.has_effect else None


def _change(exporter: Exporter, path: str, *, exact: bool, keeps: bool) -> PathChange | None:
    """Return what becomes of the path of a request, None if no route can do that."""
    rewrite = _rewrite(exporter)
    if rewrite is not None:
        return as_route(rewrite, path, exact=exact)
    return UNCHANGED if keeps else taken_off(path, exact=exact)


def _rules(exporter: Exporter) -> Iterator[tuple[str, bool, int]]:
    """Yield path, whether it matches exactly, and port of each rule that a gateway of HTTP can serve."""
    exact = {rule.port_number for rule in exporter.export.rules if rule.path_type == EXACT}
    for port, endpoint in exporter.offered:
        if port.protocol == "TCP" and transport_of(port.app_protocol, port.name) is Transport.HTTP:
            yield endpoint.target.path, port.port in exact, port.port


def _http_route(key: ServiceKey, exporter: Exporter, asked: GatewayRoute, keeps: bool) -> Json:
    namespace, gateway, *listener = asked.names
    section = {"sectionName": listener[0]} if listener else {}
    parent = {
        "group": "gateway.networking.k8s.io",
        "kind": "Gateway",
        "namespace": namespace,
        "name": gateway,
    }
    return {
        "parentRefs": [{**parent, **section}],
        "rules": [
            {
                "matches": [{"path": {"type": "Exact" if exact else "PathPrefix", "value": path}}],
                **_filters(_change(exporter, path, exact=exact, keeps=keeps)),
                "backendRefs": [
                    {"group": "", "kind": "Service", "name": key.name, "port": port, "weight": 1}
                ],
            }
            for path, exact, port in _rules(exporter)
        ],
    }


def _filters(change: PathChange | None) -> Json:
    """Return the filters of a rule. A path that needs no change needs no filter."""
    if change is None or change == UNCHANGED:
        return {}
    field = f"{change.means[0].lower()}{change.means[1:]}"
    path = {"type": str(change.means), field: change.value}
    return {"filters": [{"type": "URLRewrite", "urlRewrite": {"path": path}}]}


def _ingress(key: ServiceKey, exporter: Exporter, asked: GatewayRoute, _: bool) -> Json:
    paths = [
        {
            "path": path,
            "pathType": "Exact" if exact else "Prefix",
            "backend": {"service": {"name": key.name, "port": {"number": port}}},
        }
        for path, exact, port in _rules(exporter)
    ]
    return {"ingressClassName": asked.names[0], "rules": [{"http": {"paths": paths}}]}


def _kept(live: LiveRoute, specs: Mapping[str, Json]) -> dict[str, Json]:
    """Return the present routes of the members that are to lose theirs."""
    if live.route is None or live.propagation is None:
        return {}
    spec, present = live.route.get("spec") or {}, _overridden(live.override)
    leaving = (name for name in clusters_of(live.propagation) if name not in specs)
    return {name: present.get(name, spec) for name in leaving}


def _overridden(policy: Object | None) -> dict[str, Json]:
    return {
        name: overrider["value"]
        for name, rule in rule_by_cluster(policy).items()
        for overrider in rule.get("overriders", {}).get("plaintext") or ()
        if overrider.get("path") == "/spec" and isinstance(overrider.get("value"), dict)
    }


@dataclass(frozen=True)
class _Owned:
    """Makes the objects of one kind of route. All have one name and belong to the ServiceExport."""

    key: ServiceKey
    uid: str
    kind: RouteKind

    def route(self, spec: Json) -> Json:
        return self._object(self.kind.api_version, self.kind, spec)

    def propagation(self, clusters: Collection[str]) -> Json:
        affinity = {"clusterNames": sorted(clusters)}
        placement = {"clusterAffinity": affinity, "clusterTolerations": TOLERATIONS}
        spec = {"priority": PRIORITY, "resourceSelectors": [self._selector], "placement": placement}
        return self._object(POLICY_API, "PropagationPolicy", spec)

    def override(self, specs: Mapping[str, Json]) -> Object:
        rules = {
            name: {"overriders": {"plaintext": [{"path": "/spec", "operator": "replace", "value": spec}]}}
            for name, spec in specs.items()
        }
        spec = {"resourceSelectors": [self._selector], "overrideRules": []}
        return with_rules(self._object(POLICY_API, "OverridePolicy", spec), rules)

    @property
    def _selector(self) -> Json:
        name, namespace = route_name(self.kind, self.key.name), self.key.namespace
        return {
            "apiVersion": self.kind.api_version,
            "kind": str(self.kind),
            "namespace": namespace,
            "name": name,
        }

    def _object(self, api_version: str, kind: str, spec: Json) -> Json:
        meta = owned(self.key, self.uid, route_name(self.kind, self.key.name))
        return {"apiVersion": api_version, "kind": str(kind), "metadata": meta, "spec": spec}

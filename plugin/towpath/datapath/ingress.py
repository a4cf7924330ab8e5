"""The member's gateway: what other clusters call arrives here and goes to ready pods directly.

Each rule of a ServiceExport is a route. The path of the rule is taken off, so that an application sees the
path that the client sent, in whichever cluster it runs; ``pathRewrite`` and the annotation
``towpath.io/keep-path`` change that. A port that is no HTTP is reached by CONNECT instead of a path.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

from towpath.datapath import envoy
from towpath.datapath.allocation import PathClaim, claims_of, tunnel_host
from towpath.datapath.egress import PATH
from towpath.datapath.envoy import Json, Kind, Resource, typed
from towpath.datapath.problem import EXPORT, Problem, ProblemReason
from towpath.datapath.world import Balancer, MemberExport, Settings, Slice
from towpath.model.export import EXACT, ExportRule
from towpath.model.keys import ServiceKey
from towpath.model.service import EXTERNAL_NAME, Service, ServicePort
from towpath.rules.gateway import gives_credentials
from towpath.rules.path_rewrite import Substitution, substitution
from towpath.rules.transport import Transport, transport_of

GATEWAY = "ingress"
"""Name of the gateway's listener and of its routes."""
_BALANCERS = {
    Balancer.ROUND_ROBIN: "ROUND_ROBIN",
    Balancer.HASHING: "MAGLEV",
    Balancer.LEAST_WORK: "LEAST_REQUEST",
}
_TCP = "TCP"


class Route(NamedTuple):
    """A path of the gateway. ``keep`` passes it on; ``rewrite`` replaces in the whole path."""

    claim: PathClaim
    name: str
    target: str
    hash_policy: tuple[Json, ...] = ()
    keep: bool = False
    rewrite: Substitution | None = None


class Tunnel(NamedTuple):
    """A port that is reached by CONNECT."""

    host: str
    name: str
    target: str


class Exported(NamedTuple):
    """What one export puts on the gateway."""

    resources: tuple[Resource, ...] = ()
    routes: tuple[Route, ...] = ()
    tunnels: tuple[Tunnel, ...] = ()
    problems: tuple[Problem, ...] = ()


def exported(
    key: ServiceKey,
    export: MemberExport,
    service: Service | None,
    slices: Sequence[Slice],
    holders: Sequence[ServiceKey],
) -> Exported:
    """Return what an export puts on the gateway. ``holders`` has the holder of each rule's path."""
    if service is None:
        return _nothing(key, ProblemReason.NO_SERVICE, "The Service of this name does not exist. Create it.")
    if service.type == EXTERNAL_NAME:
        text = "The Service is of type ExternalName, which has no endpoints. Export a Service with pods."
        return _nothing(key, ProblemReason.EXTERNAL_NAME, text)
    made: dict[str, tuple[Resource, ...]] = {}
    routes: list[Route] = []
    tunnels: list[Tunnel] = []
    problems: list[Problem] = []
    for index, (rule, claim) in enumerate(zip(export.export.rules, claims_of(export), strict=True)):
        wrong = _why_not(key, rule, claim, export, service, holders[index])
        port = _port(service, rule.port_number)
        if wrong is not None or port is None:
            if wrong is not None:
                problems.append(Problem(EXPORT, key, wrong[0], f"spec.rules[{index}].{wrong[1]}"))
            continue
        name = f"{key.namespace}/{key.name}:{port.port}"
        target = f"{GATEWAY}/{name}"
        if transport_of(port.app_protocol, port.name) is Transport.STREAM:
            tunnels.append(Tunnel(tunnel_host(key.namespace, key.name, port.port), name, target))
        else:
            routes.append(_route(claim, name, target, export))
        made[target] = (_cluster(target, export), _endpoints(target, port, slices))
    resources = tuple(resource for pair in made.values() for resource in pair)
    return Exported(resources, tuple(routes), tuple(tunnels), tuple(problems))


def gateway(everything: Iterable[Exported], settings: Settings) -> tuple[Resource, ...]:
    """Return the gateway's listener and its routes."""
    exports = list(everything)
    routes = sorted((route for export in exports for route in export.routes), key=_order)
    found = [entry for route in routes for entry in _entries(route)]
    hosts: list[Json] = [
        {
            "name": "services",
            "domains": ["*"],
            "routes": [*found, _unknown(settings.cluster)],
            "request_headers_to_remove": [
                envoy.PATH_HEADER,
                envoy.PREFIX_HEADER,
                envoy.UNSERVED_HEADER,
                *envoy.ADDED_HEADERS,
            ],
        }
    ]
    tunnels = {tunnel.host: tunnel for export in exports for tunnel in export.tunnels}
    hosts += [_tunnel_host(tunnel) for _, tunnel in sorted(tunnels.items())]
    return (
        envoy.http_listener(
            GATEWAY,
            envoy.address(settings.bind, settings.gateway_port),
            access_log=[_access_log(settings)] if settings.access_log else (),
            tunnels=True,
            local_replies=_unserved_replies(),
        ),
        envoy.route_table(GATEWAY, hosts),
    )


def ready_addresses(slices: Iterable[Slice], port: ServicePort) -> list[tuple[str, int]]:
    """Return where pods listen. While none is ready, those that still serve while they end."""
    ready: set[tuple[str, int]] = set()
    serving: set[tuple[str, int]] = set()
    for found in slices:
        if found.published or found.address_type == "FQDN":
            continue
        # Who may write EndpointSlices must not reach by the proxy what no pod of theirs reaches.
        endpoints = [e for e in found.endpoints if not _gives_credentials(e.address)]
        for number in {p.port for p in found.ports if p.name == port.name and p.protocol == _TCP}:
            ready |= {(endpoint.address, number) for endpoint in endpoints if endpoint.ready}
            serving |= {(endpoint.address, number) for endpoint in endpoints if endpoint.serving}
    return sorted(ready or serving)


@lru_cache(4096)
def _gives_credentials(text: str) -> bool:
    try:
        return gives_credentials(ip_address(text))
    except ValueError:
        return False


def _nothing(key: ServiceKey, reason: ProblemReason, text: str) -> Exported:
    return Exported(problems=(Problem(EXPORT, key, reason, f"metadata.name: {text}"),))


def _port(service: Service, number: int) -> ServicePort | None:
    return next((port for port in service.ports if port.port == number and port.protocol == _TCP), None)


def _why_not(
    key: ServiceKey,
    rule: ExportRule,
    claim: PathClaim,
    export: MemberExport,
    service: Service,
    holder: ServiceKey,
) -> tuple[ProblemReason, str] | None:
    """Return why a rule has no route: the reason, the field and a sentence."""
    if _port(service, rule.port_number) is None:
        text = f"portNumber: The Service has no TCP port {rule.port_number}. Name one of its ports."
        return ProblemReason.NO_SUCH_PORT, text
    if not PATH.fullmatch(claim.path):
        return ProblemReason.BAD_PATH, f"path: {rule.path!r} is not a path of a URL."
    if holder != key:
        text = f"path: {holder.namespace}/{holder.name} has this path already. Choose another path."
        return ProblemReason.PATH_TAKEN, text
    rewrite = export.export.path_rewrite
    if rewrite is not None and rewrite.has_effect and substitution(rewrite) is None:
        text = f"path: The gateway cannot apply spec.pathRewrite.from {rewrite.pattern!r}. Simplify it."
        return ProblemReason.BAD_REWRITE, text
    return None


def _route(claim: PathClaim, name: str, target: str, export: MemberExport) -> Route:
    rewrite = export.export.path_rewrite
    return Route(
        claim,
        name,
        target,
        _hash_policy(export),
        export.keep_path,
        substitution(rewrite) if rewrite is not None and rewrite.has_effect else None,
    )


def _hash_policy(export: MemberExport) -> tuple[Json, ...]:
    if export.export.session_sticky:
        return ({"cookie": {"name": "towpath-session", "ttl": "0s", "path": "/"}},)
    if export.export.load_balancer is Balancer.HASHING:
        # What a node proxy of another cluster saw of the client; without one, who connects.
        return (
            {"header": {"header_name": "x-forwarded-for"}, "terminal": True},
            {"connection_properties": {"source_ip": True}},
        )
    return ()


def _cluster(name: str, export: MemberExport) -> Resource:
    sticky = export.export.session_sticky
    balancer = "MAGLEV" if sticky else _BALANCERS[export.export.load_balancer]
    return envoy.cluster(name, balancer=balancer, options=envoy.SAME_PROTOCOL)


def _endpoints(name: str, port: ServicePort, slices: Sequence[Slice]) -> Resource:
    found = [{"endpoint": {"address": envoy.address(*place)}} for place in ready_addresses(slices, port)]
    localities = [{"lb_endpoints": found}] if found else []
    return Resource(Kind.ENDPOINTS, name, {"cluster_name": name, "endpoints": localities})


def _order(route: Route) -> tuple[int, bool, str]:
    """Sort longer paths first, and an exact match before a prefix."""
    return -len(route.claim.path), route.claim.kind != EXACT, route.claim.path


def _entries(route: Route) -> Iterator[Json]:
    path = route.claim.path
    action: Json = {"cluster": route.target}
    if route.hash_policy:
        action["hash_policy"] = list(route.hash_policy)
    if route.rewrite is not None:
        pattern, replacement = route.rewrite
        action["regex_rewrite"] = {"pattern": {"regex": pattern}, "substitution": replacement}
    elif not route.keep and path != "/":
        action["prefix_rewrite"] = "/"
    for match in _matches(route.claim):
        # An application that has the request cannot say that no pod has it.
        hidden = {"response_headers_to_remove": [envoy.UNSERVED_HEADER]}
        yield from envoy.routes(match, action, gateways=False, name=route.name, **hidden)


def _matches(claim: PathClaim) -> Iterator[Json]:
    """Yield how a path matches.

    A prefix ends where a segment of the path does. Two routes do that without a second slash in the result.
    """
    if claim.kind == EXACT or claim.path != "/":
        yield {"path": claim.path}
    if claim.kind != EXACT:
        yield {"prefix": "/" if claim.path == "/" else f"{claim.path}/"}


def _unknown(cluster: str) -> Json:
    text = f"404: towpath-net, the gateway of {cluster}, has no exported service at this path\n"
    header = {"key": envoy.UNSERVED_HEADER, "value": "no-route"}
    return {
        "name": "unknown",
        "match": {"prefix": "/"},
        "direct_response": {"status": 404, "body": {"inline_string": text}},
        "response_headers_to_add": [{"header": header}],
    }


def _tunnel_host(tunnel: Tunnel) -> Json:
    upgrade = {"upgrade_type": "CONNECT", "connect_config": {}}
    route = {"cluster": tunnel.target, "timeout": "0s", "upgrade_configs": [upgrade]}
    return {
        "name": tunnel.host,
        "domains": [tunnel.host],
        "routes": [{"name": tunnel.name, "match": {"connect_matcher": {}}, "route": route}],
    }


def _unserved_replies() -> Json:
    """Mark the gateway's own answers to requests that no pod has seen: another cluster may have them."""
    mark = {"header": {"key": envoy.UNSERVED_HEADER, "value": "%RESPONSE_FLAGS%"}}
    flags = {"response_flag_filter": {"flags": ["UH", "UF", "NC"]}}
    return {"mappers": [{"filter": flags, "headers_to_add": [mark]}]}


def _access_log(settings: Settings) -> Json:
    fields = {
        "time": "%START_TIME%",
        "cluster": settings.cluster,
        "service": "%ROUTE_NAME%",
        "method": "%REQ(:METHOD)%",
        "path": "%REQ(:PATH)%",
        "status": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "duration_ms": "%DURATION%",
        "bytes": "%BYTES_SENT%",
        "upstream": "%UPSTREAM_HOST%",
        "downstream": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
        "request_id": "%REQ(X-REQUEST-ID)%",
    }
    config = typed(
        "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        path=settings.access_log,
        log_format={"json_format": fields},
    )
    return {"name": "envoy.access_loggers.file", "typed_config": config}

"""What a node proxy needs to carry requests of local clients to other clusters: one imported port at a time.

Each port has a listener, and a cluster with one endpoint for each gateway. A gateway knows the Service by a
path, which is put in front of the request's path. Mostly it is the same at all gateways and the route does
it; otherwise each endpoint brings its own, which costs each request some 50 microseconds in a Lua filter.
Routes refer to one of two clusters, so that the change from one way to the other is atomic.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from towpath.datapath import envoy
from towpath.datapath.allocation import ImportedPort, tunnel_host
from towpath.datapath.envoy import Json, Kind, Resource, typed
from towpath.datapath.problem import IMPORT, Problem, ProblemReason
from towpath.datapath.shares import Share, shares
from towpath.datapath.world import MemberPolicy, Settings
from towpath.model.keys import ServiceKey
from towpath.model.view import Endpoint, ImportPort
from towpath.rules.gateway import is_routable
from towpath.rules.paths import normal_path
from towpath.rules.transport import Transport, transport_of

CLIENT_IP = "ClientIP"
_ANY_IS_ENOUGH = 10_000
"""Percent. By the default of 140, with one of two gateways lost, 30 % of all go to the next priority."""
_HIGHEST_PORT = 65535
PATH = re.compile(r"/|(/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+")
"""A path that can be put in front of another one: without empty segments, spaces and query."""
_LUA = f"""\
function envoy_on_request(request)
  local headers = request:headers()
  local path = headers:get("{envoy.PATH_HEADER}")
  if path then
    headers:replace(":path", headers:get("{envoy.PREFIX_HEADER}") .. path)
    headers:remove("{envoy.PREFIX_HEADER}")
  end
end
"""


class Gateways(NamedTuple):
    """The gateways behind an imported port, and what is wrong with the others."""

    shares: tuple[Share, ...]
    problems: tuple[Problem, ...]


def gateways(key: ServiceKey, port: ImportPort, policy: MemberPolicy | None, settings: Settings) -> Gateways:
    """Return the gateways in use for a port."""
    usable: dict[tuple[str, int], Endpoint] = {}
    problems: list[Problem] = []
    for index, endpoint in enumerate(port.endpoints):
        by = usable.get(_address(endpoint))
        why = _why_unusable(endpoint, settings)
        if why is None and by is not None:
            text = (
                f"ip: The gateway is also that of {by.cluster_key}, which is used. Give each cluster its own."
            )
            why = ProblemReason.SHARED_GATEWAY, text
        elif why is None and any(endpoint.cluster_key == other.cluster_key for other in usable.values()):
            why = ProblemReason.SHARED_GATEWAY, "ip: The cluster has another endpoint, which is used."
        if why is None:
            usable[_address(endpoint)] = endpoint
        else:
            field = f"spec.ports[port={port.port}].endpoints[{index}].target"
            problems.append(Problem(IMPORT, key, why[0], f"{field}.{why[1]}"))
    return Gateways(shares(list(usable.values()), policy), tuple(problems))


def egress(
    imported: ImportedPort,
    port: ImportPort,
    used: Sequence[Share],
    *,
    affinity: str | None,
    listener_port: int,
    settings: Settings,
) -> tuple[Resource, ...]:
    """Return the resources of one imported port."""
    name = f"egress/{imported}"
    where = envoy.address(settings.bind, listener_port)
    if transport_of(port.app_protocol, port.name) is Transport.STREAM:
        cluster = _cluster(name, affinity, _TUNNEL, failures=2)
        return cluster, _endpoints(name, used), _stream(name, where, imported, affinity)
    prefixes = {prefix(share.endpoint) for share in used}
    each = len(prefixes) > 1
    target = f"{name}/each-path" if each else name
    return (
        _cluster(target, affinity, _EACH_PATH if each else envoy.SAME_PROTOCOL),
        _endpoints(target, used),
        envoy.http_listener(name, where),
        _routes(name, target, None if each else next(iter(prefixes), ""), affinity),
    )


def prefix(endpoint: Endpoint) -> str:
    """Return what goes in front of a path that begins with a slash."""
    return normal_path(endpoint.target.path).rstrip("/")


def _address(endpoint: Endpoint) -> tuple[str, int]:
    return endpoint.target.ip, endpoint.target.port


def _why_unusable(endpoint: Endpoint, settings: Settings) -> tuple[ProblemReason, str] | None:
    """Return the reason, the field and a sentence."""
    target = endpoint.target
    found = _address_in(target.ip)
    if found is None or not (is_routable(found) or (found.is_loopback and _is_local(settings.bind))):
        return ProblemReason.BAD_ADDRESS, f"ip: {target.ip!r} is not the IP address of a gateway."
    if not 1 <= target.port <= _HIGHEST_PORT:
        return ProblemReason.BAD_ADDRESS, f"port: {target.port} is not a port. Use 1 to {_HIGHEST_PORT}."
    if not PATH.fullmatch(normal_path(target.path)):
        return ProblemReason.BAD_PATH, f"path: {target.path!r} is not a path of a URL."
    return None


def _address_in(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return None if "%" in text else ip_address(text)
    except ValueError:
        return None


def _is_local(bind: str) -> bool:
    address = _address_in(bind)
    return address is not None and address.is_loopback


def _cluster(name: str, affinity: str | None, options: Json, failures: int = 5) -> Resource:
    """Return the cluster of a port. A gateway is put aside after so many failures in a row."""
    return envoy.cluster(
        name,
        balancer="MAGLEV" if affinity == CLIENT_IP else "ROUND_ROBIN",
        options=options,
        # A gateway that is gone must not stay in use because its health check still passes.
        ignore_health_on_host_removal=True,
        common_lb_config=_BALANCING,
        outlier_detection=_outliers(failures),
        health_checks=_HEALTH_CHECKS,
    )


_BALANCING: Json = {
    "locality_weighted_lb_config": {},
    # Envoy would hold back for a second that a new gateway has passed its first check.
    "update_merge_window": "0s",
}
_HEALTH_CHECKS: list[Json] = [
    {
        "timeout": "0.5s",
        "interval": "2s",
        "interval_jitter_percent": 20,
        "no_traffic_interval": "30s",
        "unhealthy_interval": "1s",
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "tcp_health_check": {},
    }
]
"""Applications have no common path to check, and a TCP check sees that a gateway is alive."""


@cache
def _outliers(failures: int) -> Json:
    """Return when a gateway is put aside. An application that answers 500 says nothing of its gateway."""
    return {
        "consecutive_5xx": 5,
        "enforcing_consecutive_5xx": 0,
        "enforcing_success_rate": 0,
        "consecutive_gateway_failure": failures,
        "enforcing_consecutive_gateway_failure": 100,
        "interval": "1s",
        "base_ejection_time": "5s",
        "max_ejection_percent": 100,
    }


def _filters() -> list[Json]:
    mutation = {
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        "header": {"key": envoy.PREFIX_HEADER, "value": "%UPSTREAM_METADATA(towpath:prefix)%"},
    }
    http = "envoy.extensions.filters.http"
    return [
        {
            "name": "prefix",
            "typed_config": typed(
                f"{http}.header_mutation.v3.HeaderMutation",
                mutations={"request_mutations": [{"append": mutation}]},
            ),
        },
        {
            "name": "path",
            "typed_config": typed(f"{http}.lua.v3.Lua", default_source_code={"inline_string": _LUA}),
        },
        {
            "name": "envoy.filters.http.upstream_codec",
            "typed_config": typed(f"{http}.upstream_codec.v3.UpstreamCodec"),
        },
    ]


def _endpoints(name: str, used: Sequence[Share]) -> Resource:
    """Return the endpoints of a port. A priority is used alone while one of its gateways answers."""
    body: Json = {"cluster_name": name, "endpoints": [_locality(share) for share in used]}
    if len({share.priority for share in used}) > 1:
        body["policy"] = {"overprovisioning_factor": _ANY_IS_ENOUGH}
    return Resource(Kind.ENDPOINTS, name, body)


def _locality(share: Share) -> Json:
    """Return one gateway. Each has a locality of its own: only so are weights exact while one fails."""
    target = share.endpoint.target
    return {
        "locality": _place(share.endpoint.cluster_key),
        "load_balancing_weight": share.weight,
        "priority": share.priority,
        "lb_endpoints": [
            {
                "metadata": _metadata(prefix(share.endpoint)),
                "endpoint": {"address": envoy.address(target.ip, target.port)},
            }
        ],
    }


@lru_cache(1024)
def _place(cluster_key: str) -> Json:
    region, zone, *rest = [*cluster_key.split("/", 2), "", ""]
    return {"region": region, "zone": zone, "sub_zone": rest[0]}


@lru_cache(1024)
def _metadata(path: str) -> Json:
    return {"filter_metadata": {"towpath": {"prefix": path}}}


_REMOVED = list(envoy.ADDED_HEADERS)


def _routes(name: str, target: str, path: str | None, affinity: str | None) -> Resource:
    """Return the routes of a port. ``path`` is that of all gateways, None if they differ."""
    action: Json = {"cluster": target}
    fields: Json = {"response_headers_to_remove": [envoy.UNSERVED_HEADER]}
    if affinity == CLIENT_IP:
        action["hash_policy"] = [{"connection_properties": {"source_ip": True}}]
    if path:
        action["prefix_rewrite"] = f"{path}/"
    elif path is None:
        header = {"key": envoy.PATH_HEADER, "value": "%REQ(:PATH)%"}
        fields["request_headers_to_add"] = [{"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]
    found = envoy.routes({"prefix": "/"}, action, gateways=True, **fields)
    host = {
        "name": "all",
        "domains": ["*"],
        "routes": found,
        "request_headers_to_remove": _REMOVED,
    }
    return envoy.route_table(name, [host])


_EACH_PATH = envoy.same_protocol(http_filters=_filters())
_TUNNEL = envoy.http_options(explicit_http_config={"http_protocol_options": {}})
"""How gateways are spoken to where each has its own path, and in tunnels."""


def _stream(name: str, where: Json, imported: ImportedPort, affinity: str | None) -> Resource:
    """Return the listener of a port that is no HTTP: its connections travel in CONNECT requests."""
    proxy = typed(
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        stat_prefix=name,
        cluster=name,
        # By then outlier detection has put a gateway aside that does not answer.
        max_connect_attempts=6,
        backoff_options={"base_interval": "0.05s", "max_interval": "0.2s"},
        idle_timeout="0s",
        tunneling_config={"hostname": tunnel_host(*imported)},
        **({"hash_policy": [{"source_ip": {}}]} if affinity == CLIENT_IP else {}),
    )
    return envoy.listener(name, where, "envoy.filters.network.tcp_proxy", proxy)

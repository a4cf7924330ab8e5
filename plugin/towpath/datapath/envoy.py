"""The pieces of Envoy's configuration that egress and ingress share, in the JSON form of its API.

Values that look arbitrary were measured with Envoy 1.40 (docs/datapath.md): the defaults of the circuit
breakers refuse retries when a gateway dies under load, a panic threshold of 0 fails requests to new
endpoints, and routes inside a listener cut connections when they change.

Parts that are the same in all resources are made once and must not be changed: with hundreds of imports they
would be most of the memory of the agent's configuration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any, NamedTuple

Json = dict[str, Any]

UNSERVED_HEADER = "x-towpath-unserved"
"""On answers of a gateway that has not passed on the request: another gateway may have it, whatever it is."""
PATH_HEADER, PREFIX_HEADER = "x-towpath-path", "x-towpath-prefix"
ADDED_HEADERS = ("x-envoy-external-address", "x-envoy-internal")
"""What Envoy tells an application of where a request comes from, beside x-forwarded-for."""
SAFE_METHODS = "GET|HEAD|OPTIONS"
"""Methods that may be repeated although a gateway may have acted on the first request (RFC 9110, 9.2.1)."""
_NOT_SENT = "connect-failure,refused-stream,reset-before-request"
_UNANSWERED = "reset,gateway-error"
_DAY = "86400s"
HEAD_SECONDS = "10s"
"""Time in which the headers of a request have to arrive."""


class Kind(StrEnum):
    """A type of resource, in the order in which Envoy has to learn of them."""

    CLUSTER = "envoy.config.cluster.v3.Cluster"
    ENDPOINTS = "envoy.config.endpoint.v3.ClusterLoadAssignment"
    LISTENER = "envoy.config.listener.v3.Listener"
    ROUTES = "envoy.config.route.v3.RouteConfiguration"

    @property
    def url(self) -> str:
        """The type as the discovery protocol names it."""
        return f"type.googleapis.com/{self.value}"


class Resource(NamedTuple):
    """One resource: ``body`` is its JSON, without its type."""

    kind: Kind
    name: str
    body: Json


def typed(kind: str, **fields: object) -> Json:
    """Return a message of a named type."""
    return {"@type": f"type.googleapis.com/{kind}", **fields}


@cache
def ads() -> Json:
    """Return where Envoy finds what is only named: in the same stream."""
    return {"resource_api_version": "V3", "ads": {}}


@lru_cache(4096)
def address(host: str, port: int) -> Json:
    """Return a TCP address."""
    return {"socket_address": {"address": host, "port_value": port}}


_DISCOVERED: Json = {"eds_config": ads()}
_BREAKERS: Json = {
    "thresholds": [
        {
            "max_retries": 1024,
            "max_connections": 65536,
            "max_pending_requests": 65536,
            "max_requests": 65536,
        }
    ]
}


def cluster(name: str, *, balancer: str, options: Json, **fields: object) -> Resource:
    """Return a cluster whose endpoints are discovered."""
    body: Json = {
        "name": name,
        "type": "EDS",
        "connect_timeout": "1s",
        "lb_policy": balancer,
        "eds_cluster_config": _DISCOVERED,
        "circuit_breakers": _BREAKERS,
        "typed_extension_protocol_options": options,
        **fields,
    }
    return Resource(Kind.CLUSTER, name, body)


def http_options(**fields: object) -> Json:
    """Return the options of a cluster: how it is spoken to."""
    kind = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {kind: typed(kind, **fields)}


def same_protocol(**fields: object) -> Json:
    """Return the options of a cluster that is spoken to in the protocol of the client."""
    protocols: Json = {"http_protocol_options": {}, "http2_protocol_options": {}}
    return http_options(use_downstream_protocol_config=protocols, **fields)


SAME_PROTOCOL = same_protocol()


@cache
def retries(*, safe: bool, gateways: bool) -> Json:
    """Return when a request is tried at another endpoint.

    One that may not be repeated is tried again only if it reached no application. ``gateways``: the endpoints
    are gateways, which say whether it did. An application is not believed.
    """
    previous = "envoy.extensions.retry"
    causes = [_NOT_SENT, *(["retriable-headers"] if gateways else ()), *([_UNANSWERED] if safe else ())]
    believed = {"retriable_headers": [{"name": UNSERVED_HEADER, "present_match": True}]} if gateways else {}
    return {
        "retry_on": ",".join(causes),
        **believed,
        "num_retries": 3,
        "retry_back_off": {"base_interval": "0.005s", "max_interval": "0.05s"},
        "retry_priority": {
            "name": "envoy.retry_priorities.previous_priorities",
            "typed_config": typed(
                f"{previous}.priority.previous_priorities.v3.PreviousPrioritiesConfig", update_frequency=1
            ),
        },
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": typed(f"{previous}.host.previous_hosts.v3.PreviousHostsPredicate"),
            }
        ],
        "host_selection_retry_max_attempts": 3,
    }


_SAFE: list[Json] = [{"name": ":method", "string_match": {"safe_regex": {"regex": SAFE_METHODS}}}]


def routes(match: Json, action: Json, *, gateways: bool, **fields: object) -> list[Json]:
    """Return the routes of requests that match: one for safe methods, one for the others.

    ``gateways``: they lead to gateways, not to pods. No time-out ends an answer that is still arriving.
    """
    return [
        {
            "match": {**match, "headers": _SAFE} if is_safe else match,
            "route": {"timeout": "0s", "retry_policy": retries(safe=is_safe, gateways=gateways), **action},
            **fields,
        }
        for is_safe in (True, False)
    ]


_HTTP_1: Json = {"accept_http_10": True}
_WEBSOCKETS: list[Json] = [{"upgrade_type": "websocket"}]
_ROUTER: list[Json] = [
    {
        "name": "envoy.filters.http.router",
        "typed_config": typed("envoy.extensions.filters.http.router.v3.Router", suppress_envoy_headers=True),
    }
]


def http_listener(
    name: str,
    where: Json,
    *,
    access_log: Sequence[Json] = (),
    tunnels: bool = False,
    local_replies: Json | None = None,
) -> Resource:
    """Return a listener for HTTP/1.1, HTTP/2, gRPC and WebSocket, whose routes have its name."""
    options: Json = {}
    if tunnels:
        options["http2_protocol_options"] = {"allow_connect": True}
    if local_replies:
        options["local_reply_config"] = local_replies
    manager = typed(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=name,
        codec_type="AUTO",
        use_remote_address=True,
        preserve_external_request_id=True,
        server_header_transformation="PASS_THROUGH",
        stream_idle_timeout=_DAY,
        request_headers_timeout=HEAD_SECONDS,
        http_protocol_options=_HTTP_1,
        upgrade_configs=[*_WEBSOCKETS, {"upgrade_type": "CONNECT"}] if tunnels else _WEBSOCKETS,
        access_log=list(access_log),
        http_filters=_ROUTER,
        rds={"route_config_name": name, "config_source": ads()},
        **options,
    )
    kind = "envoy.filters.network.http_connection_manager"
    return listener(name, where, kind, manager, limited=tunnels)


def listener(
    name: str, where: Json, network_filter: str, config: Mapping[str, Any], *, limited: bool = False
) -> Resource:
    """Return a listener with one filter. If ``limited``, its connections count for the limit of all."""
    filters = [{"name": network_filter, "typed_config": dict(config)}]
    body: Json = {"name": name, "address": where, "filter_chains": [{"filters": filters}]}
    return Resource(Kind.LISTENER, name, body if limited else {**body, "ignore_global_conn_limit": True})


def route_table(name: str, hosts: Sequence[Json]) -> Resource:
    """Return the routes of a listener."""
    return Resource(Kind.ROUTES, name, {"name": name, "virtual_hosts": list(hosts)})

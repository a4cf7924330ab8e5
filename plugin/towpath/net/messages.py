"""Envoy's resources as protocol buffers, made from their JSON form.

The imports that look unused register the messages that the JSON names by their type.
"""

from __future__ import annotations

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.access_loggers.file.v3 import file_pb2
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2
from envoy.extensions.filters.http.lua.v3 import lua_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.http.upstream_codec.v3 import upstream_codec_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from envoy.extensions.retry.priority.previous_priorities.v3 import previous_priorities_config_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from google.protobuf import json_format
from google.protobuf.any_pb2 import Any

from towpath.datapath.envoy import Json, Kind

REGISTERED = (
    file_pb2,
    header_mutation_pb2,
    http_connection_manager_pb2,
    http_protocol_options_pb2,
    lua_pb2,
    previous_hosts_pb2,
    previous_priorities_config_pb2,
    router_pb2,
    tcp_proxy_pb2,
    upstream_codec_pb2,
)
_MESSAGES = {
    Kind.CLUSTER: cluster_pb2.Cluster,
    Kind.ENDPOINTS: endpoint_pb2.ClusterLoadAssignment,
    Kind.LISTENER: listener_pb2.Listener,
    Kind.ROUTES: route_pb2.RouteConfiguration,
}


def encode(kind: Kind, body: Json) -> Any:
    """Return a resource as it travels. Raises json_format.ParseError if Envoy's API has no such field."""
    message = json_format.ParseDict(body, _MESSAGES[kind]())
    return Any(type_url=kind.url, value=message.SerializeToString(deterministic=True))

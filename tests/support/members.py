"""The world of one member, made of few words: services, exports, imports and policies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from towpath.datapath.world import (
    GatewayExport,
    MemberExport,
    MemberImport,
    MemberPolicy,
    ServiceName,
    Slice,
    SliceEndpoint,
    SlicePort,
    World,
)
from towpath.model.keys import Dialect, ServiceKey, cluster_key
from towpath.model.service import Service
from towpath.model.traffic import TrafficPolicy
from towpath.model.view import View
from towpath.net import decode


def key(name: str = "web", namespace: str = "shop", dialect: Dialect = Dialect.FLOMESH) -> ServiceKey:
    return ServiceKey(dialect, namespace, name)


def ck(cluster: str) -> str:
    """Return the key of a cluster that has the usual region, zone and group."""
    return cluster_key("default", "default", "default", cluster)


def service(*ports: int, names: Sequence[str] = (), **fields: Any) -> Service:
    numbers = ports or (80,)
    found = [{"port": n, "targetPort": n, "name": names[i] if names else ""} for i, n in enumerate(numbers)]
    return Service.model_validate({"ports": found, **fields})


def export(path: str = "/web", port: int = 80, created: str = "", **fields: Any) -> MemberExport:
    keep_path = fields.pop("keep_path", False)
    rules = fields.pop("rules", [{"portNumber": port, "path": path, "pathType": "Prefix"}])
    return MemberExport(GatewayExport.model_validate({"rules": rules, **fields}), created, keep_path)


def gateway(cluster: str, address: str, port: int = 8080, path: str = "/web") -> dict[str, Any]:
    """Return an endpoint of an import."""
    return {
        "clusterKey": ck(cluster),
        "target": {"host": address, "ip": address, "port": port, "path": path},
    }


def imported(*gateways: Mapping[str, Any], port: int = 80, **fields: Any) -> MemberImport:
    port_view = {"port": port, "protocol": "TCP", "endpoints": list(gateways)}
    for name in ("name", "appProtocol", "protocol"):
        if name in fields:
            port_view[name] = fields.pop(name)
    return MemberImport(View.model_validate({"ports": fields.pop("ports", [port_view]), **fields}))


def policy(kind: str, *targets: str | tuple[str, int | None], tiers: str = "") -> MemberPolicy:
    """Return a policy. A target is a cluster, or a cluster and its weight."""
    pairs = [target if isinstance(target, tuple) else (target, None) for target in targets]
    listed = [{"clusterKey": ck(name), "weight": weight} for name, weight in pairs]
    return MemberPolicy(TrafficPolicy.model_validate({"lbType": kind, "targets": listed}), tiers)


def pods(name: str, *addresses: str, port: int = 9000, port_name: str = "", ready: bool = True) -> Slice:
    """Return the EndpointSlice of a Service's own pods."""
    endpoints = tuple(SliceEndpoint(address, ready=ready, serving=ready) for address in addresses)
    return Slice(name, "IPv4", (SlicePort(port_name, port),), endpoints)


def serving(
    service_key: ServiceKey, offered: MemberExport, *addresses: str, world: World | None = None, **fields: Any
) -> World:
    """Return a world in which pods of a Service are exported."""
    world, name = world or World(), ServiceName(service_key.namespace, service_key.name)
    port = fields.pop("port", 9000)
    return replace(
        world,
        exports={**world.exports, service_key: offered},
        services={**world.services, name: fields.pop("service", service())},
        slices={
            **world.slices,
            name: {f"{service_key.name}-1": pods(service_key.name, *addresses, port=port, **fields)},
        },
    )


def using(
    service_key: ServiceKey,
    service_import: MemberImport,
    how: MemberPolicy | None = None,
    *,
    world: World | None = None,
    own: Service | None = None,
) -> World:
    """Return a world in which a Service is imported."""
    world, name = world or World(), ServiceName(service_key.namespace, service_key.name)
    return replace(
        world,
        imports={**world.imports, service_key: service_import},
        policies={**world.policies, **({service_key: how} if how else {})},
        services={**world.services, name: own or service()},
    )


_READ: Mapping[str, Callable[[bytes], object]] = {
    "ServiceImport": decode.service_import,
    "ServiceExport": decode.service_export,
    "GlobalTrafficPolicy": decode.traffic_policy,
    "Service": decode.service,
    "EndpointSlice": decode.endpoint_slice,
}


def world_of(objects: Iterable[Mapping[str, Any]]) -> World:
    """Return the world of a member that holds these objects."""
    found: dict[str, dict[Any, Any]] = {kind: {} for kind in _READ}
    for obj in objects:
        meta, kind = obj["metadata"], obj["kind"]
        decoded = _READ[kind](msgspec.json.encode(obj))
        if kind in ("Service", "EndpointSlice"):
            found[kind][ServiceName(meta["namespace"], meta["name"])] = decoded
        else:
            dialect = Dialect(obj["apiVersion"].partition("/")[0])
            found[kind][ServiceKey(dialect, meta["namespace"], meta["name"])] = decoded
    slices: dict[ServiceName, dict[str, Slice]] = {}
    for name, decoded in found["EndpointSlice"].items():
        slices.setdefault(ServiceName(name.namespace, decoded.service), {})[name.name] = decoded
    return World(
        found["ServiceImport"],
        found["ServiceExport"],
        found["GlobalTrafficPolicy"],
        found["Service"],
        slices,
    )

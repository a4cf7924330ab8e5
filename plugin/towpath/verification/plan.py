"""Which calls are made from which cluster, and where none can be made; pure.

A call goes where the data path of the importing cluster sends those of its pods: to the gateway of an
exporter, with the path of the rule in front, or through a tunnel where the port is no HTTP. Where the traffic
policy sends calls to other clusters, the name of the Service is called as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from towpath.datapath.allocation import tunnel_host
from towpath.derivation.explanation import Explanation, ImportingCluster
from towpath.model.view import Endpoint, ImportPort
from towpath.rules.reasons import CallReason
from towpath.rules.transport import Transport, transport_of

ANY_EXPORTER = "any"
"""What answers a call to the name of a Service."""
_TCP = "TCP"
_ELSEWHERE = frozenset({"ActiveActive", "FailOver"})


class Place(NamedTuple):
    """What is known of a member: its name, and whether it has the data path, and is lost."""

    name: str
    data_path: bool
    lost: bool = False


class Pair(NamedTuple):
    """A service, the cluster that calls it, the one that answers, and the port."""

    service: str
    importer: str
    exporter: str
    port: int


class Call(NamedTuple):
    """One call: ``target`` is what the pod's program understands.

    ``is_plain``: the exporter has no data path of Towpath, so its gateway does not say what a 404 means.
    """

    pair: Pair
    target: str
    is_plain: bool = False


class Outcome(NamedTuple):
    """What came of a call; without a ``reason`` it was answered. ``made``: a call was made at all."""

    pair: Pair
    reason: CallReason | None = None
    text: str = ""
    made: bool = True


class Plan(NamedTuple):
    """The calls of each cluster, and what cannot be called for a reason that is known beforehand."""

    calls: Mapping[str, tuple[Call, ...]]
    left_out: tuple[Outcome, ...] = ()


def plan(
    services: Iterable[Explanation], places: Mapping[str, Place], path: str, only: Iterable[str] = ()
) -> Plan:
    """Plan the calls. ``places`` are the members by cluster key, ``only`` the clusters that call.

    ``path`` is that of each call, behind the path of the rule.
    """
    by_name, chosen = {place.name: place for place in places.values()}, frozenset(only)
    calls: dict[str, list[Call]] = {}
    left_out: list[Outcome] = []
    for service in services:
        for importer in service.importers:
            place = by_name.get(importer.cluster, Place(importer.cluster, data_path=False))
            if chosen and place.name not in chosen:
                continue
            found = list(_calls(service, importer, places, path))
            if why := _why_none(place):
                left_out += (Outcome(call.pair, why, why.text, made=False) for call in found)
            else:
                calls.setdefault(place.name, []).extend(found)
    return Plan({name: tuple(calls[name]) for name in sorted(calls)}, tuple(left_out))


def _why_none(place: Place) -> CallReason | None:
    if place.lost:
        return CallReason.CLUSTER_LOST
    return None if place.data_path else CallReason.NO_DATA_PATH


def _calls(
    service: Explanation, importer: ImportingCluster, places: Mapping[str, Place], path: str
) -> Iterator[Call]:
    name = f"{service.key.namespace}/{service.key.name}"
    for port in importer.ports:
        if port.protocol != _TCP:
            continue
        for endpoint in port.endpoints:
            exporter = places.get(endpoint.cluster_key, Place(endpoint.cluster_key, data_path=False))
            pair = Pair(name, importer.cluster, exporter.name, port.port)
            yield Call(pair, _to_gateway(service, port, endpoint, path), not exporter.data_path)
        is_http = transport_of(port.app_protocol, port.name) is Transport.HTTP
        if is_http and service.traffic is not None and service.traffic.lb_type in _ELSEWHERE:
            pair = Pair(name, importer.cluster, ANY_EXPORTER, port.port)
            host = f"{service.key.name}.{service.key.namespace}:{port.port}"
            yield Call(pair, f"GET {host} {path}", is_plain=True)


def _to_gateway(service: Explanation, port: ImportPort, endpoint: Endpoint, path: str) -> str:
    target, key = endpoint.target, service.key
    gateway = f"{target.ip}:{target.port}"
    if transport_of(port.app_protocol, port.name) is Transport.STREAM:
        return f"CONNECT {gateway} {tunnel_host(key.namespace, key.name, port.port)}"
    return f"GET {gateway} {target.path.rstrip('/')}{path}"

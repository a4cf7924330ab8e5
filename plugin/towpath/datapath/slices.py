"""The EndpointSlices by which Services lead to the node proxies.

kube-proxy and cluster DNS use that of an imported Service beside those of the Service's own pods. It is
always there while the import is; its endpoints are there only while the policy wants requests to leave the
cluster. That of the gateway's Service is always there.

During a rolling update a node has two proxies. The old one is in the slices until the new one is ready, and
not after that, while it still serves what is on its way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from towpath.datapath.world import SLICE_MANAGER, Proxy, ServiceName, Slice, SliceEndpoint, SlicePort
from towpath.model.ownership import MANAGED_BY

SERVICE_LABEL = "kubernetes.io/service-name"
MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
PREFIX = "towpath-"
CLUSTER_ROLE = "towpath-net"
"""The ClusterRole of the agents (deploy/datapath)."""
_MOST = 1000
"""Endpoints that an apiserver accepts in one EndpointSlice."""


class _Known(NamedTuple):
    """A proxy as the EndpointSlices of the Service in front of all of them have it."""

    address_type: str
    proxy: Proxy
    ready: bool


def slice_name(name: ServiceName) -> str:
    """Return the name of the EndpointSlice of a Service."""
    return f"{PREFIX}{name.name}"


def proxies(slices: Iterable[Slice]) -> tuple[Proxy, ...]:
    """Return the node proxies that are ready, from the EndpointSlices of the Service in front of them.

    While none is ready, all of them: a pod whose agent is restarted is not ready, and its Envoy serves.
    """
    return _ready(_known(slices))[:_MOST]


def gateways(slices: Iterable[Slice]) -> tuple[Proxy, ...]:
    """Return the node proxies that take calls of other clusters: of each node those that are ready.

    A call that has arrived at a node stays there, so a node without one that is ready keeps all of its own.
    """
    by_node: dict[str, list[_Known]] = {}
    for known in _known(slices):
        by_node.setdefault(known.proxy.node, []).append(known)
    return tuple(proxy for _, found in sorted(by_node.items()) for proxy in _ready(found))[:_MOST]


def _known(slices: Iterable[Slice]) -> list[_Known]:
    """Return the proxies of one type of addresses, in the order of addresses."""
    found = sorted(
        _Known(slice_.address_type, Proxy(endpoint.address, endpoint.node), endpoint.ready)
        for slice_ in slices
        if not slice_.published
        for endpoint in slice_.endpoints
    )
    return [known for known in found if known.address_type == found[0].address_type]


def _ready(known: list[_Known]) -> tuple[Proxy, ...]:
    return tuple(entry.proxy for entry in [entry for entry in known if entry.ready] or known)


def wanted_slice(ports: Sequence[SlicePort], used: Sequence[Proxy]) -> Slice:
    """Return the slice of a Service, as the reflector would read it back."""
    endpoints = tuple(SliceEndpoint(proxy.address, node=proxy.node) for proxy in used)
    kind = "IPv6" if used and ":" in used[0].address else "IPv4"
    return Slice("", kind, tuple(sorted(ports)), endpoints, published=True)


def manifest(name: ServiceName, wanted: Slice, installation: str) -> dict[str, Any]:
    """Return the slice as it is applied.

    ``installation`` is the uid of the ClusterRole of the agents, its owner: when Karmada takes the data path
    out of the member, no agent is left to delete slices, and the garbage collector of the member does that.
    """
    owner = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "name": CLUSTER_ROLE,
        "uid": installation,
    }
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": slice_name(name),
            "namespace": name.namespace,
            "labels": {
                SERVICE_LABEL: name.name,
                MANAGED_BY_LABEL: SLICE_MANAGER,
                **MANAGED_BY,
            },
            **({"ownerReferences": [owner]} if installation else {}),
        },
        "addressType": wanted.address_type,
        "ports": [{"name": p.name, "port": p.port, "protocol": p.protocol} for p in wanted.ports],
        "endpoints": [_endpoint(endpoint) for endpoint in wanted.endpoints],
    }


def _endpoint(endpoint: SliceEndpoint) -> Mapping[str, Any]:
    found: dict[str, Any] = {
        "addresses": [endpoint.address],
        "conditions": {"ready": True, "serving": True, "terminating": False},
    }
    if endpoint.node:
        # kube-proxy prefers the proxy of the client's own node.
        found |= {"nodeName": endpoint.node, "hints": {"forNodes": [{"name": endpoint.node}]}}
    return found

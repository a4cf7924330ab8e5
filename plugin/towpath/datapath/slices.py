"""The EndpointSlice by which a member's own Service leads to the node proxies.

kube-proxy and cluster DNS use it beside those of the Service's own pods. It is always there while the import
is; its endpoints are there only while the policy wants requests to leave the cluster.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from towpath.datapath.world import SLICE_MANAGER, Proxy, ServiceName, Slice, SliceEndpoint, SlicePort
from towpath.model.keys import ServiceKey
from towpath.model.ownership import MANAGED_BY

SERVICE_LABEL = "kubernetes.io/service-name"
MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
PREFIX = "towpath-"
_MOST = 1000
"""Endpoints that an apiserver accepts in one EndpointSlice."""


def slice_name(name: ServiceName) -> str:
    """Return the name of the EndpointSlice of a Service."""
    return f"{PREFIX}{name.name}"


def proxies(slices: Iterable[Slice]) -> tuple[Proxy, ...]:
    """Return the node proxies that are ready, from the EndpointSlices of the Service in front of them.

    While none is ready, all of them: a pod whose agent is restarted is not ready, and its Envoy serves.
    """
    known = [
        (found.address_type, endpoint.address, endpoint.node, endpoint.ready)
        for found in slices
        if not found.published
        for endpoint in found.endpoints
    ]
    used = sorted([entry for entry in known if entry[-1]] or known)
    first = used[0][0] if used else ""
    return tuple(Proxy(address, node) for kind, address, node, _ in used if kind == first)[:_MOST]


def wanted_slice(ports: Sequence[SlicePort], used: Sequence[Proxy]) -> Slice:
    """Return the slice of an imported Service, as the reflector would read it back."""
    endpoints = tuple(SliceEndpoint(proxy.address, node=proxy.node) for proxy in used)
    kind = "IPv6" if used and ":" in used[0].address else "IPv4"
    return Slice("", kind, tuple(sorted(ports)), endpoints, published=True)


def manifest(name: ServiceName, owner: ServiceKey, uid: str, wanted: Slice) -> dict[str, Any]:
    """Return the slice as it is applied. It goes with the ServiceImport, also while no agent runs."""
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
            "ownerReferences": [
                {
                    "apiVersion": owner.dialect.api_version,
                    "kind": "ServiceImport",
                    "name": owner.name,
                    "uid": uid,
                }
            ],
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

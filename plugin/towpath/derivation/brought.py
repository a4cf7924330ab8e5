"""The Service that an import brings along, as clusters get it that have it by their import alone.

What Karmada brings along is the Service of the user as it is. There it would order a load balancer, take a
port of every node, or claim external addresses once more. So an OverridePolicy makes it a plain ClusterIP in
those clusters. A headless Service becomes one as well: its name then leads to the node proxies, which serve
it on ports of their own.

The policy replaces ``/spec`` with a complete value, and exists wherever a Service is brought along, also a
plain one. So no edit of the Service takes effect in importing clusters before the policy follows.

It names the clusters that are to have the Service by their import, and those that still have it: they keep
the policy until the Service has left. Its owner is the Service, since it is needed longer than the export.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from towpath.derivation.render import POLICY_API, metadata
from towpath.model.keys import ServiceKey
from towpath.model.ownership import service_policy_name
from towpath.model.service import CLUSTER_IP

_KEPT_FIELDS = (
    "selector",
    "sessionAffinity",
    "sessionAffinityConfig",
    "internalTrafficPolicy",
    "trafficDistribution",
    "publishNotReadyAddresses",
)
"""Not the families of addresses: those of Karmada's own apiserver stand there, and a member has its own."""
_KEPT_OF_PORTS = ("name", "protocol", "appProtocol", "port", "targetPort")
_CLOUD_PREFIXES = (
    "service.beta.kubernetes.io/",
    "service.alpha.kubernetes.io/",
    "service.kubernetes.io/",
    "cloud.google.com/",
    "networking.gke.io/",
    "loadbalancer.openstack.org/",
    "oci.oraclecloud.com/",
    "io.cilium/",
    "metallb.io/",
    "metallb.universe.tf/",
    "kube-vip.io/",
    "external-dns.alpha.kubernetes.io/",
)
"""Annotations that controllers of load balancers, addresses and DNS names act on."""
_KEPT_ANNOTATIONS = frozenset({"service.kubernetes.io/topology-mode"})


@dataclass(frozen=True)
class BroughtService:
    """A Service template: ``own`` are the clusters that have it by itself, ``brought`` by its import.

    ``applied`` are those in which Karmada has applied it, ``failed`` its messages where it cannot.
    """

    uid: str
    template: bytes
    own: frozenset[str] = frozenset()
    brought: frozenset[str] = frozenset()
    applied: frozenset[str] = frozenset()
    failed: Mapping[str, str] = field(default_factory=dict)


def service_override(
    key: ServiceKey, service: BroughtService, importers: Iterable[str]
) -> Mapping[str, Any] | None:
    """Return the OverridePolicy of a Service, None if no cluster has it by its import alone.

    ``importers`` are the clusters that are to have it by their import.
    """
    clusters = service.brought.union(importers) - service.own
    if not clusters:
        return None
    template = msgspec.json.decode(service.template)
    owner = {"apiVersion": "v1", "kind": "Service", "name": key.name, "uid": service.uid}
    selector = {"apiVersion": "v1", "kind": "Service", "namespace": key.namespace, "name": key.name}
    rule = {"targetCluster": {"clusterNames": sorted(clusters)}, "overriders": _overriders(template)}
    return {
        "apiVersion": POLICY_API,
        "kind": "OverridePolicy",
        "metadata": metadata(owner, key.namespace, service_policy_name(key)),
        "spec": {"resourceSelectors": [selector], "overrideRules": [rule]},
    }


def _overriders(template: Mapping[str, Any]) -> dict[str, Any]:
    plain = {"path": "/spec", "operator": "replace", "value": _plain(template.get("spec") or {})}
    annotations = template["metadata"].get("annotations") or {}
    cloud = {
        name: ""
        for name in sorted(annotations)
        if name.startswith(_CLOUD_PREFIXES) and name not in _KEPT_ANNOTATIONS
    }
    removed = {"annotationsOverrider": [{"operator": "remove", "value": cloud}]} if cloud else {}
    return {"plaintext": [plain], **removed}


def _plain(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the spec of a ClusterIP Service with the same ports and pods."""
    ports = [
        {name: port[name] for name in _KEPT_OF_PORTS if name in port} for port in spec.get("ports") or ()
    ]
    return {
        "type": CLUSTER_IP,
        "ports": ports,
        **{name: spec[name] for name in _KEPT_FIELDS if name in spec},
    }

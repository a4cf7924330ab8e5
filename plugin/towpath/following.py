"""Propagation that nobody wrote is derived too (DESIGN, rule 9).

A ServiceExport that no policy of the user selects goes where its Service goes, and a GlobalTrafficPolicy
that none selects goes to the clusters that import the service. A user's policy always wins, now or later:
once there is one, ours must not exist, and with its low priority it loses even in the moment between.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from towpath.derive import Derived
from towpath.model.keys import ServiceKey
from towpath.model.world import AppliedPolicy, ExportedService
from towpath.render import POLICY_API, TOLERATIONS, metadata, selector

PRIORITY = -1000
"""Below what users give their own policies."""
EXPORT, TRAFFIC = "towpath-export-", "towpath-traffic-"
"""How the names of these policies begin; the service's name follows."""


def export_policy(service: ExportedService, members: Collection[str]) -> dict[str, Any] | None:
    """Return the policy by which an export follows its Service; None if it needs none."""
    clusters = sorted(service.serving.intersection(members))
    if service.selected or not clusters:
        return None
    return _policy(EXPORT, service.key, "ServiceExport", service.uid, clusters)


def traffic_policy(applied: AppliedPolicy, derived: Derived | None) -> dict[str, Any] | None:
    """Return the policy by which a traffic policy follows the imports; None if it needs none."""
    if applied.selected or derived is None or not derived.views:
        return None
    return _policy(TRAFFIC, applied.key, "GlobalTrafficPolicy", applied.uid, sorted(derived.views))


def _policy(prefix: str, key: ServiceKey, kind: str, uid: str, clusters: list[str]) -> dict[str, Any]:
    owner = {"apiVersion": key.dialect.api_version, "kind": kind, "name": key.name, "uid": uid}
    return {
        "apiVersion": POLICY_API,
        "kind": "PropagationPolicy",
        "metadata": metadata(owner, key.namespace, f"{prefix}{key.name}"),
        "spec": {
            "priority": PRIORITY,
            "resourceSelectors": selector(key, kind),
            "placement": {
                "clusterAffinity": {"clusterNames": clusters},
                "clusterTolerations": TOLERATIONS,
            },
        },
    }

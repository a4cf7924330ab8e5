"""Propagation that nobody wrote is derived too ("follow rule").

A ServiceExport that no policy of the user selects goes where its Service goes, and a GlobalTrafficPolicy
that none selects goes to the clusters that import the service. A user's policy always wins, now or later:
once there is one, ours must not exist, and with its low priority it loses even in the moment between.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from towpath.derivation.derive import Derived
from towpath.derivation.render import POLICY_API, TOLERATIONS, metadata, selector
from towpath.model.keys import ServiceKey
from towpath.model.ownership import EXPORT_PREFIX, TRAFFIC_PREFIX, belongs_to
from towpath.model.world import AppliedPolicy, ExportedService

Object = Mapping[str, Any]

PRIORITY = -1000
"""Below what users give their own policies."""


def becoming(
    live: Object | None, wanted: Object | None, others: Collection[str], *, selected: bool
) -> Object | None:
    """Return what is to be there in the place of a live policy, None for nothing.

    ``others`` are the uids of the other API group's objects of this name: what belongs to them is left alone.
    What a former object has left is taken over. What has nothing to follow for now keeps its policy: without
    one it would be frozen ("frozen templates").
    """
    if live is not None and belongs_to(live, others):
        return live
    return wanted if wanted is not None or selected else live


def export_policy(service: ExportedService, members: Collection[str]) -> dict[str, Any] | None:
    """Return the policy by which an export follows its Service; None if it needs none."""
    clusters = sorted(service.serving.intersection(members))
    if service.selected or not clusters:
        return None
    return _policy(EXPORT_PREFIX, service.key, "ServiceExport", service.uid, clusters)


def traffic_policy(applied: AppliedPolicy, derived: Derived | None) -> dict[str, Any] | None:
    """Return the policy by which a traffic policy follows the imports; None if it needs none."""
    if applied.selected or derived is None or not derived.views:
        return None
    return _policy(TRAFFIC_PREFIX, applied.key, "GlobalTrafficPolicy", applied.uid, sorted(derived.views))


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


def selects_api(policy: Object, api_version: str) -> bool:
    """Tell whether a derived policy is of this dialect: the names of policies are the same in both."""
    selectors = policy.get("spec", {}).get("resourceSelectors") or ()
    return any(selector.get("apiVersion") == api_version for selector in selectors)

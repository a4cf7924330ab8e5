"""Views in, Kubernetes objects out: the ServiceImport and the two policies that carry it.

* The **ServiceImport** holds the full list, as a cluster that exports nothing sees it, and is owned by
  the ServiceExport: deleting the export takes everything away, by garbage collection.
* The **PropagationPolicy** names the importing clusters, never none: an empty list means all of them.
* The **OverridePolicy** replaces ``/spec/ports`` with the complete value wherever a view differs from
  the full list, above all in the exporting clusters, which must not see themselves. Never by index:
  Karmada reads template and policy at different times (facts T7), and a complete value is right with both.

At most three objects a service, however many clusters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from towpath.derive import Derived
from towpath.model.keys import ServiceKey
from towpath.model.view import View

MANAGED_BY = {"app.kubernetes.io/managed-by": "towpath"}
POLICY_API = "policy.karmada.io/v1alpha1"
PRIORITY = 1000
"""Above what users give their own policies: the import must go where it was derived for."""
_PREFIX = "towpath-import-"

# A member that is not ready keeps its imports: whether they still hold is for us to say, not for a taint.
_TOLERATIONS = [
    {"key": f"cluster.karmada.io/{state}", "operator": "Exists", "effect": effect}
    for state in ("not-ready", "unreachable")
    for effect in ("NoSchedule", "NoExecute")
]


@dataclass(frozen=True)
class Rendered:
    """The objects of one service, in the order in which they are written. None = must not exist."""

    override: Mapping[str, Any] | None = None
    propagation: Mapping[str, Any] | None = None
    service_import: Mapping[str, Any] | None = None


def policy_name(key: ServiceKey) -> str:
    """Return the name of a service's policies."""
    return f"{_PREFIX}{key.name}"


def service_of_policy(name: str) -> str | None:
    """Return the service that a policy of ours belongs to, None if the name is not one of ours."""
    return name[len(_PREFIX) :] if name.startswith(_PREFIX) else None


def render(key: ServiceKey, uid: str, derived: Derived) -> Rendered:
    """Return the objects that bring every view of a service to its cluster.

    ``uid`` is the ServiceExport's, the owner of all of them.
    """
    if derived.everything is None or not derived.views:
        return Rendered()
    differing = {name: view for name, view in derived.views.items() if view != derived.everything}
    return Rendered(
        override=_override(key, uid, differing) if differing else None,
        propagation=_propagation(key, uid, sorted(derived.views)),
        service_import=_service_import(key, uid, derived.everything),
    )


def _metadata(key: ServiceKey, uid: str, name: str) -> dict[str, Any]:
    owner = {
        "apiVersion": key.dialect.api_version,
        "kind": "ServiceExport",
        "name": key.name,
        "uid": uid,
    }
    return {
        "name": name,
        "namespace": key.namespace,
        "labels": dict(MANAGED_BY),
        "ownerReferences": [owner],
    }


def _selector(key: ServiceKey) -> list[dict[str, str]]:
    return [
        {
            "apiVersion": key.dialect.api_version,
            "kind": "ServiceImport",
            "name": key.name,
            "namespace": key.namespace,
        }
    ]


def _service_import(key: ServiceKey, uid: str, view: View) -> dict[str, Any]:
    return {
        "apiVersion": key.dialect.api_version,
        "kind": "ServiceImport",
        "metadata": _metadata(key, uid, key.name),
        "spec": view.dump(),
    }


def _propagation(key: ServiceKey, uid: str, importers: list[str]) -> dict[str, Any]:
    return {
        "apiVersion": POLICY_API,
        "kind": "PropagationPolicy",
        "metadata": _metadata(key, uid, policy_name(key)),
        "spec": {
            "priority": PRIORITY,
            "resourceSelectors": _selector(key),
            "placement": {
                "clusterAffinity": {"clusterNames": importers},
                "clusterTolerations": _TOLERATIONS,
            },
        },
    }


def _override(key: ServiceKey, uid: str, views: Mapping[str, View]) -> dict[str, Any]:
    """Return one rule for each distinct view: clusters that see the same share it."""
    clusters: dict[View, list[str]] = {}
    for name in sorted(views):
        clusters.setdefault(views[name], []).append(name)
    rules = [
        {
            "targetCluster": {"clusterNames": names},
            "overriders": {
                "plaintext": [{"path": "/spec/ports", "operator": "replace", "value": view.dump()["ports"]}]
            },
        }
        for view, names in clusters.items()
    ]
    return {
        "apiVersion": POLICY_API,
        "kind": "OverridePolicy",
        "metadata": _metadata(key, uid, policy_name(key)),
        "spec": {"resourceSelectors": _selector(key), "overrideRules": rules},
    }

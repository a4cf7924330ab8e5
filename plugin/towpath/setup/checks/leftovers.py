"""What an ErieCanal control plane has left in Karmada."""

from __future__ import annotations

from collections.abc import Iterator

from towpath.model.keys import Dialect
from towpath.model.ownership import is_own
from towpath.setup.checks.evidence import Evidence, Level, Object, Result, name_of
from towpath.text import several

CHECK = "leftovers"


def check(evidence: Evidence) -> Iterator[Result]:
    """Yield kubeconfigs in flomesh Clusters, Clusters without a member, and imports of others."""
    results = (
        *_named(
            [c for c in evidence.flomesh_clusters if (c.get("spec") or {}).get("kubeconfig")],
            "The flomesh Cluster contains a kubeconfig, which Towpath never uses. Remove spec.kubeconfig.",
        ),
        *_named(
            [c for c in evidence.flomesh_clusters if c["metadata"]["name"] not in _members(evidence)],
            "Karmada has no member of this name, so the flomesh Cluster has no effect. Rename or delete it.",
        ),
        *_named(
            [o for d in Dialect for o in evidence.imports.get(d.value, ()) if not is_own(o)],
            "Towpath has not derived the ServiceImport, and does not replace it. Delete it.",
        ),
    )
    yield from results
    if not results:
        yield Result(CHECK, Level.OK, "Karmada", "Nothing of another control plane.")


def _named(objects: list[Object], text: str) -> Iterator[Result]:
    if objects:
        yield Result(CHECK, Level.WARN, several(map(name_of, objects)), text)


def _members(evidence: Evidence) -> set[str]:
    return {member["metadata"]["name"] for member in evidence.members}

"""Which clusters an export or a policy is meant for, and which key to write for a cluster that was meant.

``spec.targetClusters`` is documented and never read by ErieCanal.
"""

from __future__ import annotations

from collections.abc import Iterable

from towpath.model.export import Export
from towpath.model.keys import cluster_name


def in_scope(export: Export, importer_key: str) -> bool:
    """Tell whether the cluster with this key may import; an empty list means every cluster."""
    return not export.target_clusters or importer_key in export.target_clusters


def with_meant(key: str, known: Iterable[str]) -> str:
    """Return a key that no cluster has, with the known key of the cluster of that name if there is one."""
    name = cluster_name(key.strip("/ ")).lower()
    meant = min((other for other in known if cluster_name(other) == name), default="")
    return f"{key}; the key of {name} is {meant}" if meant else key

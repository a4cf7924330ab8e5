"""Which clusters an export is meant for: ``spec.targetClusters``, documented and never read by ErieCanal."""

from __future__ import annotations

from towpath.model.export import Export


def in_scope(export: Export, importer_key: str) -> bool:
    """Tell whether the cluster with this key may import; an empty list means every cluster."""
    return not export.target_clusters or importer_key in export.target_clusters

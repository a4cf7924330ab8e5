"""A ServiceExport as a member has it."""

from __future__ import annotations

from pydantic import Field, StrictInt

from towpath.model.base import Model

WHEN_UNREACHABLE = "towpath.io/when-unreachable"
"""Annotation: what happens to the endpoints of a cluster that Karmada cannot reach ("reachability rule")."""

CONFLICT_RESOLUTION = "towpath.io/conflict-resolution"
"""Annotation: ``Overwrite`` lets Karmada take over ServiceImports that others left in members."""
ABORT, OVERWRITE = "Abort", "Overwrite"


class ExportRule(Model):
    """Puts one port of the Service on the gateway, under a path."""

    port_number: StrictInt
    path: str = ""
    path_type: str = "Prefix"


class Export(Model):
    """Spec of a ServiceExport. ``target_clusters`` lists cluster keys; empty means every cluster."""

    rules: tuple[ExportRule, ...] = ()
    target_clusters: tuple[str, ...] = Field(default=())
    service_account_name: str = ""

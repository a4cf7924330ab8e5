"""A ServiceExport as a member has it."""

from __future__ import annotations

from pydantic import Field

from towpath.model.base import Model


class ExportRule(Model):
    """Puts one port of the Service on the gateway, under a path."""

    port_number: int
    path: str = ""
    path_type: str = "Prefix"


class Export(Model):
    """Spec of a ServiceExport. ``target_clusters`` lists cluster keys; empty means every cluster."""

    rules: tuple[ExportRule, ...] = ()
    target_clusters: tuple[str, ...] = Field(default=())
    service_account_name: str = ""

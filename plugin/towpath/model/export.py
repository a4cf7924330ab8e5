"""A ServiceExport as a member has it."""

from __future__ import annotations

from pydantic import Field, StrictInt

from towpath.model.base import Model

WHEN_UNREACHABLE = "towpath.io/when-unreachable"
"""Annotation: what happens to the endpoints of a cluster that Karmada cannot reach ("reachability rule")."""

ALLOW_WITHDRAWAL = "towpath.io/allow-withdrawal"
"""Annotation: ``true`` lets the deletion guard remove the import of this export whatever else is removed."""

CONFLICT_RESOLUTION = "towpath.io/conflict-resolution"
"""Annotation: ``Overwrite`` lets Karmada take over ServiceImports that others left in members, and
``Overwrite=<clusters>`` those in these members.
"""
ABORT, OVERWRITE = "Abort", "Overwrite"

RELEASED = "towpath.io/released"
"""Annotation: the members, separated by commas, whose import Towpath leaves to another control plane."""

PRESERVE_IMPORTS = "towpath.io/preserve-imports"
"""Annotation: ``true`` lets members keep their imports when Karmada does not carry them any more."""

KEEP_PATH_ANNOTATION = "towpath.io/keep-path"
"""Annotation: ``true`` lets the gateway pass on the path of the rule instead of taking it off."""


PATH_TYPES = PREFIX, EXACT = "Prefix", "Exact"
"""How a rule compares paths."""


class ExportRule(Model):
    """Puts one port of the Service on the gateway, under a path."""

    port_number: StrictInt
    path: str = ""
    path_type: str = PREFIX


class PathRewrite(Model):
    """A regular expression and what replaces its matches in the path of a request."""

    pattern: str = Field(default="", alias="from")
    replacement: str = Field(default="", alias="to")

    @property
    def has_effect(self) -> bool:
        """Whether both are there: otherwise the path is treated as without a rewrite."""
        return bool(self.pattern and self.replacement)


class Export(Model):
    """Spec of a ServiceExport. ``target_clusters`` lists cluster keys; empty means every cluster."""

    rules: tuple[ExportRule, ...] = ()
    target_clusters: tuple[str, ...] = Field(default=())
    service_account_name: str = ""
    path_rewrite: PathRewrite | None = None

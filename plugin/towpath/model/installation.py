"""What an installation decides for all exports."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Self

PATHS = "paths"
"""The key of the setting in the ConfigMap of the installation."""


class PathScope(StrEnum):
    """Which paths a ServiceExport may have: any, or those that begin with its own namespace."""

    SHARED = "shared"
    NAMESPACED = "namespaced"

    @classmethod
    def of(cls, data: Mapping[str, str]) -> Self:
        """Return the setting of an installation, by the data of its ConfigMap."""
        return cls.NAMESPACED if data.get(PATHS) == cls.NAMESPACED else cls.SHARED

    def root(self, namespace: str) -> str:
        """Return the path at or below which all paths of a namespace must be, empty for any path."""
        return f"/{namespace}" if self is PathScope.NAMESPACED else ""

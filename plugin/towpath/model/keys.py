"""How things are named: dialects, services, and cluster keys."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

DEFAULT = "default"
"""Region, zone and group of a cluster that names none."""


class Dialect(StrEnum):
    """The API group of a service's objects. Schemas are the same in both."""

    FLOMESH = "flomesh.io"
    """ErieCanal, and FSM before 1.3."""
    MULTICLUSTER = "multicluster.flomesh.io"
    """FSM 1.3 and newer."""

    @property
    def api_version(self) -> str:
        """``apiVersion`` of this dialect's objects."""
        return f"{self.value}/v1alpha1"


class ServiceKey(NamedTuple):
    """One multi-cluster service: its export, its imports and the Services behind it share this name."""

    dialect: Dialect
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name} ({self.dialect.value})"


class GatewayKey(NamedTuple):
    """One flomesh Cluster, which says where a member's gateway is."""

    dialect: Dialect
    name: str

    def __str__(self) -> str:
        return f"Cluster {self.name} ({self.dialect.value})"


def cluster_key(region: str, zone: str, group: str, name: str) -> str:
    """Return the name by which FSM and traffic policies know a cluster (ErieCanal cluster_types.go:139)."""
    return f"{region}/{zone}/{group}/{name}"

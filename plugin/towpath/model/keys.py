"""How things are named: dialects, services, and cluster keys."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

DEFAULT = "default"
"""Region, zone and group of a cluster that names none."""
_PARTS = ("region", "zone", "group", "cluster")
# The same as in the CRDs: what they accept must not be refused later.
_PLACE, _CLUSTER = r"[^/\s]([^/]*[^/\s])?", r"[a-z0-9]([-.a-z0-9]*[a-z0-9])?"
_PLACE_PATTERN, _CLUSTER_PATTERN = re.compile(_PLACE, re.ASCII), re.compile(_CLUSTER, re.ASCII)
_NOT_A_CLUSTER = (
    "the cluster name must consist of lower-case letters, digits, '-' or '.', and must start and end with"
    " a letter or a digit"
)
_KEY_PATTERN = re.compile(rf"({_PLACE}/){{3}}{_CLUSTER}", re.ASCII)


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


def cluster_name(key: str) -> str:
    """Return the name of the cluster with a key: the last part of it."""
    return key.rpartition("/")[2]


@lru_cache(4096)
def is_cluster_key(text: str) -> bool:
    """Tell whether a text can be a cluster's key. A fleet has few, which are named in every object."""
    return _KEY_PATTERN.fullmatch(text) is not None


def why_not_cluster_key(text: str) -> str:
    """Return what is malformed about a cluster key, empty for a well-formed one."""
    parts = text.split("/")
    if len(parts) != len(_PARTS):
        return f"must have four parts, but has {len(parts)}"
    for name, part in zip(_PARTS, parts, strict=True):
        if not part:
            return f"the {name} must not be empty"
        if name == "cluster":
            if not _CLUSTER_PATTERN.fullmatch(part):
                return _NOT_A_CLUSTER
        elif not _PLACE_PATTERN.fullmatch(part):
            return f"the {name} must not start or end with white space"
    return ""

"""Which policy has a template: Karmada writes it on the template itself (pkg/detector/claim.go).

A policy keeps what it has claimed, whatever policy comes later (docs/karmada-behaviour.md, "sticky claims").
Without the marks Karmada decides again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

_KINDS = ("PropagationPolicy", "ClusterPropagationPolicy")


class Claim(NamedTuple):
    """The policy that has claimed a template. ``namespace`` is empty if it is in none."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def claim_of(annotations: Mapping[str, str]) -> Claim | None:
    """Return who has the template with these annotations, None if nobody has."""
    for kind in _KINDS:
        prefix = f"{kind.lower()}.karmada.io"
        if name := annotations.get(f"{prefix}/name"):
            return Claim(kind, annotations.get(f"{prefix}/namespace", ""), name)
    return None


def without_claim() -> dict[str, Any]:
    """Return the merge patch of metadata that takes the marks of every claim away."""
    prefixes = [f"{kind.lower()}.karmada.io" for kind in _KINDS]
    return {
        "labels": {f"{prefix}/permanent-id": None for prefix in prefixes},
        "annotations": {f"{prefix}/{field}": None for prefix in prefixes for field in ("name", "namespace")},
    }

"""A condition of an object's status, as Kubernetes keeps it (metav1.Condition, without its times)."""

from __future__ import annotations

from typing import NamedTuple

TRUE, FALSE, UNKNOWN = "True", "False", "Unknown"
VALID, CONFLICT, READY = "Valid", "Conflict", "Ready"
EXPORT_CONDITIONS = frozenset({VALID, CONFLICT, READY})
"""Of a ServiceExport."""
SERVING = "Serving"
"""Of a member's copy of a ServiceExport, by the data path there."""
ACCEPTED, RESOLVED = "Accepted", "Resolved"
"""Of a GlobalTrafficPolicy."""
MANAGED = "Managed"
"""Of a flomesh Cluster."""


class Condition(NamedTuple):
    """One aspect: what holds, in one word why, and a sentence for people."""

    type: str
    status: str
    reason: str
    message: str

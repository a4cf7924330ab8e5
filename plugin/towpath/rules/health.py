"""Whether an object is as it should be, by its own word: what Karmada shows as its health.

A ServiceExport is not healthy when its status says ``Valid=False`` or ``Conflict=True``. Everything else is:
an import and a traffic policy have no status that anybody writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from towpath.model.condition import CONFLICT, FALSE, TRUE, VALID
from towpath.model.keys import Dialect

_BAD = ((VALID, FALSE), (CONFLICT, TRUE))
_VERSIONS = [dialect.api_version for dialect in Dialect]


def why_unhealthy(obj: Mapping[str, Any]) -> str:
    """Return what is wrong with an object, empty if it is healthy. A status of no known form says nothing."""
    if obj.get("kind") != "ServiceExport" or obj.get("apiVersion") not in _VERSIONS:
        return ""
    status = obj.get("status")
    conditions = status.get("conditions") if isinstance(status, dict) else None
    return " ".join(
        f"{condition['type']}={condition['status']}:"
        f" {condition.get('message') or condition.get('reason') or 'without a reason'}"
        for condition in (conditions if isinstance(conditions, list) else ())
        if isinstance(condition, dict) and (condition.get("type"), condition.get("status")) in _BAD
    )

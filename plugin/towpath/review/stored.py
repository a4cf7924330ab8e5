"""What only a running plugin knows of its work, read from the statuses that it has written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from towpath.inventory.inventory import Inventory
from towpath.model.condition import FALSE, READY
from towpath.model.keys import ServiceKey
from towpath.model.times import seconds
from towpath.rules.reasons import ConditionReason


def withheld(inventory: Inventory) -> Mapping[ServiceKey, str]:
    """Return the services whose import the deletion guard keeps; why is in the status."""
    return {
        key: ""
        for key in inventory.world.services
        if _ready(inventory, key).get("reason") == ConditionReason.WITHHELD.value
    }


def pending_since(inventory: Inventory, key: ServiceKey) -> float | None:
    """Return since when a service is not ready (seconds since 1970); None if it is, or that is not known."""
    ready = _ready(inventory, key)
    return seconds(str(ready.get("lastTransitionTime"))) if ready.get("status") == FALSE else None


def _ready(inventory: Inventory, key: ServiceKey) -> Mapping[str, Any]:
    export = inventory.watched.exports[key.dialect].get(key.name, key.namespace)
    conditions: Iterable[Mapping[str, Any]] = (export.status.get("conditions") or ()) if export else ()
    return next((c for c in conditions if c.get("type") == READY), {})

"""News: what a pass has to say about an object, as the events of ``kubectl describe`` say it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from towpath.derivation.derive import Derived
from towpath.karmada.client import Resource
from towpath.karmada.wire import Name
from towpath.model.condition import FALSE, READY, TRUE
from towpath.rules.reasons import ConditionReason

NORMAL, WARNING = "Normal", "Warning"
_GOOD = {("Conflict", FALSE)}


class Subject(NamedTuple):
    """The object that an event is about. ``namespace`` is empty for a cluster-scoped object."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str

    @classmethod
    def of(cls, resource: Resource, name: Name, uid: str) -> Subject:
        """Return the object with this uid at a place."""
        return cls(resource.api_version, resource.kind, *name, uid)


class News(NamedTuple):
    """The content of an event. ``type`` is Normal or Warning."""

    type: str
    reason: str
    message: str


Notice = tuple[Subject, News]
"""What is to be told, and of which object."""


def news_of(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[News]:
    """Yield what is worth an event when one status replaces another.

    A condition that changes its status or its reason is worth one, except a rollout in progress, and except a
    first condition that is as it should be.
    """
    known = {c["type"]: c for c in before.get("conditions") or ()}
    for c in after.get("conditions") or ():
        was = known.get(c["type"], {})
        good = c["status"] == TRUE if (c["type"], FALSE) not in _GOOD else c["status"] == FALSE
        same = (was.get("status"), was.get("reason")) == (c["status"], c["reason"])
        if same or (c["type"] == READY and c["reason"] == ConditionReason.PENDING) or (not was and good):
            continue
        yield News(NORMAL if good else WARNING, c["reason"], c["message"])


def news_of_exporters(before: Derived, after: Derived) -> list[News]:
    """Return the events for clusters that export the service now, or no longer."""
    lost = sorted(set(before.exporters) - set(after.exporters))
    gained = sorted(set(after.exporters) - set(before.exporters))
    return [
        *(
            News(WARNING, why.reason, f"Cluster {name} no longer exports the service. {why.text}")
            for name in lost
            if (why := after.excluded.get(name)) is not None
        ),
        *(News(NORMAL, "Exporting", f"Cluster {name} exports the service.") for name in gained),
    ]

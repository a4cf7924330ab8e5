"""What the links of a chain follow from: one snapshot of the service, and what was derived from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from towpath.derivation.derive import Derived
from towpath.derivation.explanation import Explanation
from towpath.derivation.render import Rendered
from towpath.derivation.stages import stages
from towpath.derivation.user_overrides import ImportOverride
from towpath.inventory.snapshot import Snapshot
from towpath.model.arrival import Arrival
from towpath.model.condition import Condition
from towpath.model.ownership import FIELD_MANAGER
from towpath.model.times import rfc3339
from towpath.model.world import ExportedService
from towpath.rules.reasons import ExclusionReason

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Evidence:
    """The evidence about one service. ``explained`` carries the states of imports.

    ``overrides`` is what the user's policies do to the import, and ``withheld`` tells whether the deletion
    guard keeps it. ``arrival`` is how the import arrives.
    """

    snapshot: Snapshot
    service: ExportedService
    derived: Derived
    wanted: Rendered
    explained: Explanation
    overrides: tuple[ImportOverride, ...] = ()
    withheld: bool = False
    arrival: Arrival = field(default_factory=Arrival)

    @property
    def place(self) -> str:
        """Namespace and name."""
        return f"{self.service.key.namespace}/{self.service.key.name}"

    @cached_property
    def unwritten(self) -> frozenset[tuple[str, str]]:
        """Kind and name of each object that the controller would write now."""
        snapshot = self.snapshot
        arrived = not snapshot.imports.reflecting or self.explained.is_in_place
        to_write = stages(snapshot.current, self.wanted, export=self.service.uid, arrived=arrived)
        objects = (write.wanted or write.live or {} for stage in to_write for write in stage)
        return frozenset((obj["kind"], obj["metadata"]["name"]) for obj in objects)

    def condition(self, kind: str) -> Condition:
        """Return a condition of the derivation."""
        return next(c for c in self.derived.conditions if c.type == kind)

    def since(self, condition: Condition) -> str:
        """Return since when the status of the export has a condition; empty if it does not have it yet."""
        export = self.snapshot.export
        stored: Iterable[Object] = (export.status.get("conditions") or ()) if export else ()
        return next(
            (
                str(c.get("lastTransitionTime", ""))
                for c in stored
                if (c.get("type"), c.get("status"), c.get("reason"))
                == (condition.type, condition.status, condition.reason)
            ),
            "",
        )

    def written(self, kind: str, name: str) -> str:
        """Return when Towpath wrote an object for the last time; empty if that is not known."""
        current = self.snapshot.current
        objects = (current.service_import, current.propagation, *current.overrides.values())
        live = next((o for o in objects if o and (o["kind"], o["metadata"]["name"]) == (kind, name)), None)
        if live is None:
            return ""
        entries: Iterable[Object] = live["metadata"].get("managedFields") or ()
        times = [str(e.get("time", "")) for e in entries if e.get("manager") == FIELD_MANAGER]
        return max(times, default=str(live["metadata"].get("creationTimestamp", "")))

    def excluded_since(self, cluster: str, reason: ExclusionReason) -> str:
        """Return since when a cluster is excluded for a reason that follows from its state, else nothing."""
        member = self.snapshot.fleet.members.get(cluster)
        since = None
        if member and reason is ExclusionReason.UNREACHABLE:
            since = member.unreachable_since
        elif member and reason is ExclusionReason.CATCHING_UP:
            since = member.ready_since
        return "" if since is None else rfc3339(since)

"""When to touch a template that Karmada has processed, and whose result is wrong nevertheless.

Karmada reports such a result as right, and a touch makes it process the template again. Each further touch
waits longer, and the more is in flight or wrong the longer: when a cluster stops importing, no member lags,
and the policies of all services have changed.

* A write that times out in a hanging member is lost (lost write): the member holds another version of the
  ServiceExport than Karmada says. ``derivation.derive`` tells the user in the end.
* A change of a policy that comes while Karmada's caches are behind never reaches the binding (lost
  placement): the import stays in a cluster that the policy no longer names.

No I/O and no clock: callers pass the time.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from towpath.controller.backoff import Backoff
from towpath.controller.decision import Decision, Touch
from towpath.controller.rollout.load import MAX_PACE, SERVICES_WHEN_BUSY, Load
from towpath.derivation.stages import clusters_of
from towpath.inventory.snapshot import Snapshot
from towpath.karmada.places import export_of, import_of
from towpath.model.keys import ServiceKey
from towpath.model.world import ExportedService

Fault = TypeVar("Fault", float, frozenset[str])
"""What is wrong: since when a version is late, or the clusters that are too many."""
AFTER_A_LOST_WRITE = 1
"""The delay before the first touch: a shorter one is useless, since a write is lost when it times out."""


class Schedule(Generic[Fault]):
    """When to touch templates of one kind. ``first`` is the number of the first delay."""

    def __init__(self, load: Load, first: int = 0) -> None:
        self._load, self._first = load, first
        self._backoffs: dict[ServiceKey, tuple[Fault, Backoff]] = {}

    @property
    def _pace(self) -> float:
        return max(self._load.pace, min(len(self._backoffs) / SERVICES_WHEN_BUSY, MAX_PACE))

    def forget(self, key: ServiceKey) -> None:
        """A template no longer exists, or nothing is wrong with its result."""
        self._backoffs.pop(key, None)

    def decide(self, key: ServiceKey, fault: Fault, since: float, now: float, touch: Touch) -> Decision:
        """Decide on a template of which ``fault`` is wrong since then, nothing if that is falsy.

        A newer version, or a further cluster, gives new patience; that less is wrong does not.
        """
        if not fault:
            self.forget(key)
            return Decision()
        known = self._backoffs.get(key)
        if known is None or not fault <= known[0]:
            known = self._backoffs[key] = fault, Backoff(since, self._first)
        _, backoff = known
        pace = self._pace
        is_due = now >= backoff.due(pace)
        if is_due:
            backoff.touched(now)
        return Decision(backoff.due(pace), steps=(touch,) if is_due else ())


class Touches:
    """The services whose export or import needs a touch although Karmada reports no fault."""

    def __init__(self, load: Load) -> None:
        self._stale = Schedule[float](load, AFTER_A_LOST_WRITE)
        self._misplaced = Schedule[frozenset[str]](load)

    def forget(self, key: ServiceKey) -> None:
        """An export no longer exists."""
        self._stale.forget(key)
        self._misplaced.forget(key)

    def decide(self, snapshot: Snapshot, service: ExportedService) -> Decision:
        """Decide on the export and on the import of a service."""
        return self._rewritten(snapshot, service) + self._placed(snapshot)

    def _rewritten(self, snapshot: Snapshot, service: ExportedService) -> Decision:
        """Touch the export if a member that Karmada reaches holds another version of it."""
        stale = {name: since for name, since in service.stale.items() if name not in snapshot.imports.lost}
        touch = Touch(*export_of(snapshot.key), f"not reported by {', '.join(sorted(stale))}")
        latest = max(stale.values(), default=0.0)
        return self._stale.decide(snapshot.key, latest, latest, snapshot.now, touch)

    def _placed(self, snapshot: Snapshot) -> Decision:
        """Touch the import if its binding names clusters that the policy does not name.

        Those of another policy that has claimed it count with the rollout, and those of objects that depend
        on it are right.
        """
        imports, named = snapshot.imports, clusters_of(snapshot.current.propagation)
        is_placed_by_policy = bool(named) and not imports.claim and not imports.binding.attached
        surplus = imports.binding.clusters.difference(named) if is_placed_by_policy else frozenset()
        touch = Touch(*import_of(snapshot.key), f"still bound to {', '.join(sorted(surplus))}")
        return self._misplaced.decide(snapshot.key, surplus, snapshot.now, snapshot.now, touch)

"""ServiceExports: what a pass does about one service, decided on its snapshot.

Derive, render, compare with what exists, ask the deletion guard; compare what the importing members report
with what was derived for them; and put it all into the status of the export. The traffic policy of the
service and orphaned bindings are part of the same pass.

No I/O and no clock. What has to wait for time to pass is remembered by the deciders that this one asks.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Container
from dataclasses import replace
from functools import partial

from towpath.controller.decision import Decision, Latency, Note, PatchStatus, Step, Touch
from towpath.controller.deletionguard.decide import DeletionGuard, Verdict
from towpath.controller.events import NORMAL, WARNING, News, Subject
from towpath.controller.followpolicy.decide import Follower, FollowPolicies
from towpath.controller.orphanbinding.decide import OrphanBindings
from towpath.controller.rollout.decide import Rollout, Rollouts, arrival_of
from towpath.controller.rollout.load import Load
from towpath.controller.rollout.throttle import StatusThrottle
from towpath.controller.traffic_policy import TrafficPolicies
from towpath.derivation.derive import Derived
from towpath.derivation.followpolicy import export_policy
from towpath.derivation.render import Rendered, render
from towpath.derivation.stages import is_foreign, stages
from towpath.derivation.status import export_status, offering, stated, was_valid
from towpath.inventory.snapshot import Snapshot
from towpath.karmada import resources
from towpath.karmada.client import Resource
from towpath.karmada.decode import StoredExport
from towpath.karmada.reflector import Name
from towpath.model.arrival import Arrival
from towpath.model.condition import Condition
from towpath.model.keys import ServiceKey
from towpath.model.ownership import EXPORT_PREFIX
from towpath.model.world import ExportedService
from towpath.propagation.namespaces import is_reserved
from towpath.rules import conditions
from towpath.rules.conditions import withheld

AUDIT_SECONDS = 900.0
"""The time after which a service is reconciled although nothing has happened; up to a third more."""


class ServiceExports:
    """Decides on services, and remembers of each what the next decision needs."""

    def __init__(self) -> None:
        self.load = Load()
        self._throttle = StatusThrottle(self.load)
        self._rollouts = Rollouts(self.load, self._throttle)
        self._guard = DeletionGuard()
        self._follow = FollowPolicies(self.load)
        self._orphans = OrphanBindings()
        self._traffic = TrafficPolicies(self._follow, self.load)
        self._known: dict[ServiceKey, Derived] = {}
        self.ready: dict[ServiceKey, Condition] = {}
        """The condition Ready of each export, as of its last pass."""
        self._withdrawing: set[ServiceKey] = set()

    @property
    def withheld(self) -> Container[ServiceKey]:
        """The services whose import the deletion guard keeps."""
        return self._guard.withheld

    @property
    def lagging(self) -> tuple[ServiceKey, ...]:
        """The services of which some member lags."""
        return self._rollouts.lagging

    def pending_since(self, key: ServiceKey) -> float | None:
        """Return since when members lag with a service (seconds since 1970), None if none does."""
        return self._rollouts.pending_since(key)

    @property
    def behind(self) -> dict[str, int]:
        """The number of services that each member lags with."""
        return dict(self._rollouts.behind)

    def decide(self, snapshot: Snapshot) -> Decision:
        """Decide on one service."""
        exists = snapshot.service is not None
        if snapshot.terminating:
            # Nothing can be created in the namespace, and what was in flight there no longer counts.
            return Decision() if exists else self._gone(snapshot)
        return (
            self._export(snapshot)
            + self._traffic.decide(snapshot)
            + self._orphans.decide(snapshot.templates, snapshot.now)
        )

    def _gone(self, snapshot: Snapshot) -> Decision:
        """Forget an export that no longer exists. The garbage collector removes everything that it owned."""
        key = snapshot.key
        self._known.pop(key, None)
        self.ready.pop(key, None)
        self._withdrawing.discard(key)
        self._rollouts.forget(key)
        self._throttle.forget(key)
        export, imported = _export_of(key), _import_of(key)
        self._follow.forget(export)
        forgotten = Decision(took_up=True, forgotten=(export, imported))
        return forgotten + (self._deleting(snapshot) if snapshot.deleting else self._guard.gone(snapshot))

    def _deleting(self, snapshot: Snapshot) -> Decision:
        """Withdraw an export that is being deleted, whoever holds a finalizer of it.

        Its deletion is a wish of the user, so the deletion guard is not asked.
        """
        key, export = snapshot.key, snapshot.deleting
        if export is None or snapshot.terminating:
            return Decision()
        self._guard.forget(key)
        writes = tuple(stages(snapshot.current, Rendered(), export=export.uid))
        deleted = (conditions.being_deleted(), conditions.ready((), Arrival()))
        make = partial(stated, deleted, export.generation, now=snapshot.now)
        return Decision(stages=writes, steps=(PatchStatus(*_export_of(key), make, _subject(key, export)),))

    def _export(self, snapshot: Snapshot) -> Decision:
        key, service, derived, export = snapshot.key, snapshot.service, snapshot.derived, snapshot.export
        if service is None or derived is None or export is None:
            return self._gone(snapshot)
        wanted = render(key, service.uid, derived, overwrites=service.overwrites)
        verdict, decision = self._guard.judge(snapshot, wanted)
        if verdict is Verdict.WAIT:
            return decision
        if verdict is Verdict.REFUSED:
            held = replace(wanted, refused=withheld())
            self.ready[key] = withheld()
            return decision + Decision(steps=(_status(snapshot, export, derived, held, Arrival()),))
        arrival = arrival_of(snapshot.imports, wanted.digests)
        arrived = not snapshot.imports.reflecting or not arrival.behind
        self.ready[key] = wanted.refused or conditions.ready(sorted(wanted.digests), arrival)
        writes = tuple(stages(snapshot.current, wanted, export=service.uid, arrived=arrived))
        rollout = self._rollout(snapshot, wanted, writing=bool(writes))
        return (
            Decision(_audit(key, snapshot.now), notes=_obstacle(snapshot, wanted), stages=writes)
            + self._changed(snapshot, export, derived)
            + self._rolled_out(snapshot, rollout, arrival)
            + self._reported(snapshot, rollout, _status(snapshot, export, derived, wanted, arrival))
            + self._followed(snapshot, service, export)
        )

    def _rollout(self, snapshot: Snapshot, wanted: Rendered, *, writing: bool) -> Rollout:
        imports = snapshot.imports
        claimed = imports.claim is not None and wanted.service_import is not None
        return self._rollouts.look(
            snapshot.key,
            wanted.digests,
            imports.binding.copies.reported,
            imports.lost,
            snapshot.now,
            snapshot.changed_at,
            claimed=claimed,
            writing=writing,
            reflecting=imports.reflecting,
        )

    def _changed(self, snapshot: Snapshot, export: StoredExport, derived: Derived) -> Decision:
        """Return what to log and to emit when exporters or importers have changed."""
        key, before = snapshot.key, self._known.get(snapshot.key)
        self._known[key] = derived
        if before is not None and _summary(before) == _summary(derived):
            return Decision()
        fields = {
            "service": str(key),
            "exporters": list(derived.exporters),
            "importers": list(derived.views),
            "excluded": {cluster: why.reason.value for cluster, why in derived.excluded.items()},
        }
        notes = (Note("info", "derived", fields),)
        if before is None:
            return Decision(notes=notes)
        fewer = not set(before.exporters) <= set(derived.exporters)
        (self._withdrawing.add if fewer else self._withdrawing.discard)(key)
        subject = _subject(key, export)
        return Decision(notes=notes, news=tuple((subject, news) for news in _changes(before, derived)))

    def _rolled_out(self, snapshot: Snapshot, rollout: Rollout, arrival: Arrival) -> Decision:
        """Return the touch that a late member needs, and the latency when the last member has arrived."""
        key = snapshot.key
        steps: tuple[Step, ...] = ()
        latencies: tuple[Latency, ...] = ()
        if rollout.touch and not arrival.taken_by:
            late = f"not reported by {', '.join(rollout.behind)}" if rollout.behind else ""
            why = f"claimed by {arrival.claimed_by}" if arrival.claimed_by else late
            steps = (Touch(*_import_of(key), why, unclaim=bool(arrival.claimed_by)),)
        if rollout.seconds is not None:
            latencies = (Latency(rollout.seconds, key in self._withdrawing),)
            self._withdrawing.discard(key)
        return Decision(rollout.look_again, latencies=latencies, steps=steps)

    def _reported(self, snapshot: Snapshot, rollout: Rollout, status: PatchStatus) -> Decision:
        """Return the statuses of export and import, unless it is too early for them."""
        derived = snapshot.derived
        until = self._unbound_until(snapshot)
        steps: tuple[Step, ...] = () if rollout.hold_status or until < math.inf else (status,)
        if not rollout.hold_status and derived is not None:
            steps += _offered(snapshot, derived)
        look_again = math.inf if derived is None else min(until, derived.look_again)
        return Decision(look_again, took_up=until == math.inf, steps=steps)

    def _unbound_until(self, snapshot: Snapshot) -> float:
        """Return until when it is too early to report that no cluster exports; infinity to report now."""
        derived, export = snapshot.derived, snapshot.export
        if derived is None or export is None:
            return math.inf
        if not conditions.is_transient(derived.conditions[0]) or was_valid(export.status):
            self._throttle.bound(snapshot.key)
            return math.inf
        return self._throttle.unbound(snapshot.key, snapshot.changed_at, snapshot.now)

    def _followed(self, snapshot: Snapshot, service: ExportedService, export: StoredExport) -> Decision:
        """Let an export that no policy of a user selects go where its Service goes."""
        if service.taken_by or is_reserved(snapshot.key.namespace):
            return Decision()
        key, live = snapshot.key, snapshot.export_policy
        follower = Follower(
            *_export_of(key), service.uid, f"{EXPORT_PREFIX}{key.name}", live, service.selected, export.claim
        )
        wanted = export_policy(service, snapshot.fleet.members)
        return self._follow.decide(follower, wanted, snapshot.now)


def _export_of(key: ServiceKey) -> tuple[Resource, Name]:
    return resources.service_exports(key.dialect), Name(key.namespace, key.name)


def _import_of(key: ServiceKey) -> tuple[Resource, Name]:
    return resources.service_imports(key.dialect), Name(key.namespace, key.name)


def _subject(key: ServiceKey, export: StoredExport) -> Subject:
    return Subject(key.dialect.api_version, "ServiceExport", key.namespace, key.name, export.uid)


def _obstacle(snapshot: Snapshot, wanted: Rendered) -> tuple[Note, ...]:
    """Return a note if something prevents that what is wanted is written."""
    why = wanted.refused.message if wanted.refused else ""
    if is_foreign(snapshot.current.service_import):
        why = "A ServiceImport of this name exists that Towpath has not derived."
    return (Note("error", "not written", {"service": str(snapshot.key), "reason": why}),) if why else ()


def _status(
    snapshot: Snapshot, export: StoredExport, derived: Derived, wanted: Rendered, arrival: Arrival
) -> PatchStatus:
    """Return the status of the export."""
    make = partial(export_status, derived, wanted, arrival, generation=export.generation, now=snapshot.now)
    return PatchStatus(*_export_of(snapshot.key), make, _subject(snapshot.key, export))


def _offered(snapshot: Snapshot, derived: Derived) -> tuple[PatchStatus, ...]:
    """Return the status of the import, which says who exports the service."""
    template = snapshot.current.service_import
    if template is None or is_foreign(template) or not derived.views:
        return ()
    status = offering(derived, snapshot.fleet.members)
    return (PatchStatus(*_import_of(snapshot.key), lambda _: status),)


def _summary(derived: Derived) -> object:
    return derived.exporters, tuple(derived.views), derived.excluded


def _changes(before: Derived, after: Derived) -> list[News]:
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


def _audit(key: ServiceKey, now: float) -> float:
    """Return when to reconcile a service in any case: not all of them at once."""
    spread = zlib.crc32(str(key).encode()) % 1000 / 3000
    return now + AUDIT_SECONDS * (1 + spread)

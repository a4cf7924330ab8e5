"""ServiceExports: what a pass does about one service, decided on its snapshot.

Derive, render, compare with what exists, ask the deletion guard; compare what the importing members report
with what was derived for them; and put it all into the status of the export. The traffic policy of the
service and orphaned bindings are part of the same pass.

No I/O and no clock. What has to wait for time to pass is remembered by the deciders that this one asks.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import replace

from towpath.controller import brought_service, gateway_route
from towpath.controller.decision import Decision, Latency, Note, PatchStatus, Step, Touch
from towpath.controller.deletionguard.decide import DeletionGuard
from towpath.controller.deletionguard.limit import Verdict
from towpath.controller.export_status import deletion_of, reports_of, status_of
from towpath.controller.followpolicy.decide import Follower, FollowPolicies
from towpath.controller.news import Subject, news_of_exporters
from towpath.controller.orphanbinding.decide import OrphanBindings
from towpath.controller.rollout.arrival import arrival_of
from towpath.controller.rollout.decide import Rollout, Rollouts
from towpath.controller.rollout.first_import import FirstImports
from towpath.controller.rollout.load import Load
from towpath.controller.rollout.throttle import StatusThrottle
from towpath.controller.rollout.touches import Touches
from towpath.controller.traffic_policy import TrafficPolicies
from towpath.derivation.derive import Derived
from towpath.derivation.followpolicy import export_policy
from towpath.derivation.render import Rendered, render
from towpath.derivation.routes import NO_ROUTES, routes_of
from towpath.derivation.stages import stages
from towpath.derivation.status import was_valid
from towpath.inventory.snapshot import Snapshot
from towpath.karmada.decode import StoredExport
from towpath.karmada.places import export_of, import_of
from towpath.model.arrival import Arrival
from towpath.model.condition import Condition
from towpath.model.keys import ServiceKey
from towpath.model.ownership import EXPORT_PREFIX
from towpath.model.world import ExportedService
from towpath.propagation.namespaces import is_reserved
from towpath.rules import conditions
from towpath.rules.conditions import withheld
from towpath.rules.handover import handover
from towpath.rules.late_cache import caught_up_at

AUDIT_SECONDS = 900.0
"""The time after which a service is reconciled although nothing has happened; up to a third more."""


class ServiceExports:
    """Decides on services, and remembers of each what the next decision needs."""

    def __init__(self) -> None:
        self.load = Load()
        self._throttle = StatusThrottle(self.load)
        self._rollouts = Rollouts(self.load, self._throttle)
        self._first = FirstImports(self.load)
        self._touches = Touches(self.load)
        self._guard = DeletionGuard()
        self._follow = FollowPolicies(self.load)
        self._orphans = OrphanBindings()
        self._traffic = TrafficPolicies(self._follow, self.load)
        self._known: dict[ServiceKey, Derived] = {}
        self.ready: dict[ServiceKey, Condition] = {}
        """The condition Ready of each export, as of its last pass."""
        self.early: set[ServiceKey] = set()
        """The services of which it was too early to report anything, as of the last pass of each."""
        self._withdrawing: set[ServiceKey] = set()

    @property
    def withheld(self) -> Mapping[ServiceKey, str]:
        """The services whose import the deletion guard keeps, each with the namespace that is the cause."""
        return self._guard.withheld

    def withdrawing(self, now: float) -> Mapping[str, int]:
        """Return how many withdrawals the deletion guard counts, by namespace."""
        return self._guard.counted(now)

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
            self._orphans.forget(snapshot.templates)
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
        self.early.discard(key)
        self._rollouts.forget(key)
        self._throttle.forget(key)
        self._first.forget(key)
        self._touches.forget(key)
        export, imported = export_of(key), import_of(key)
        self._follow.forget(export)
        forgotten = Decision(took_up=True, forgotten=(export, imported)) + brought_service.decide(snapshot)
        if snapshot.deleting is None:
            return forgotten + self._guard.gone(snapshot)
        return forgotten + self._deleting(snapshot, snapshot.deleting)

    def _deleting(self, snapshot: Snapshot, export: StoredExport) -> Decision:
        """Withdraw an export that is being deleted, whoever holds a finalizer of it.

        Its deletion is a wish of the user, so the deletion guard is not asked.
        """
        if snapshot.terminating:
            return Decision()
        self._guard.forget(snapshot.key)
        writes = tuple(stages(snapshot.current, Rendered(), export=export.uid))
        routes = gateway_route.decide(snapshot, export.uid, NO_ROUTES)
        return routes + Decision(stages=writes, steps=(deletion_of(snapshot, export),))

    def _export(self, snapshot: Snapshot) -> Decision:
        key, service, derived, export = snapshot.key, snapshot.service, snapshot.derived, snapshot.export
        if service is None or derived is None or export is None:
            return self._gone(snapshot)
        asked = handover(service.annotations)
        wanted = render(key, service.uid, derived, handover=asked, in_use=snapshot.in_use)
        verdict, decision = self._guard.judge(snapshot, wanted)
        if verdict is Verdict.WAIT:
            return decision
        if verdict is Verdict.REFUSED:
            self.ready[key] = refused = withheld(self.withheld[key])
            held = replace(wanted, refused=refused)
            return decision + Decision(steps=(status_of(snapshot, export, derived, held, Arrival()),))
        until = self._first.wait(snapshot, wanted)
        if until < math.inf:
            self.early.add(key)
            return decision + Decision(until) + self._followed(snapshot, service, export)
        routes = routes_of(service, derived, snapshot.fleet)
        arrival = arrival_of(snapshot.reports, snapshot.fleet, derived, wanted, routes)
        arrived = not snapshot.imports.reflecting or not arrival.behind
        settled = arrived and snapshot.current.bound <= wanted.digests.keys()
        self.ready[key] = wanted.refused or conditions.ready(sorted(wanted.digests), arrival)
        writes = tuple(stages(snapshot.current, wanted, export=service.uid, arrived=settled))
        rollout = self._rollout(snapshot, wanted, arrival, writing=bool(writes))
        reports = reports_of(snapshot, service, export, derived, wanted, arrival, writing=bool(writes))
        return (
            brought_service.decide(snapshot, wanted)
            + gateway_route.decide(snapshot, service.uid, routes, arrived=arrived)
            + Decision(
                _audit(key, snapshot.now),
                unrecorded=snapshot.may_record_later and not reports.records,
                notes=_obstacle(snapshot, wanted),
                records=reports.records,
                stages=writes,
            )
            + self._changed(snapshot, export, derived)
            + self._rolled_out(snapshot, rollout, wanted, arrival)
            + self._touches.decide(snapshot, service)
            + self._reported(snapshot, rollout, reports.status)
            + self._followed(snapshot, service, export)
        )

    def _rollout(self, snapshot: Snapshot, wanted: Rendered, arrival: Arrival, *, writing: bool) -> Rollout:
        imports = snapshot.imports
        claimed = imports.claim is not None and wanted.service_import is not None
        return self._rollouts.look(
            snapshot.key,
            wanted.digests,
            imports.binding.copies.digests,
            {*imports.lost, *arrival.overridden},
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
        about = Subject.of(*export_of(key), export.uid)
        return Decision(notes=notes, news=tuple((about, news) for news in news_of_exporters(before, derived)))

    def _rolled_out(
        self, snapshot: Snapshot, rollout: Rollout, wanted: Rendered, arrival: Arrival
    ) -> Decision:
        """Return the touch that a late member needs, and the latency when the last member has arrived."""
        key = snapshot.key
        steps: tuple[Step, ...] = ()
        latencies: tuple[Latency, ...] = ()
        is_written = snapshot.current.service_import is not None and not wanted.refused
        if rollout.touch and is_written and not arrival.taken_by:
            late = f"not reported by {', '.join(rollout.behind)}" if rollout.behind else ""
            why = f"claimed by {arrival.claimed_by}" if arrival.claimed_by else late
            steps = (Touch(*import_of(key), why, unclaim=bool(arrival.claimed_by)),)
        if rollout.seconds is not None:
            latencies = (Latency(rollout.seconds, key in self._withdrawing),)
            self._withdrawing.discard(key)
        return Decision(rollout.look_again, latencies=latencies, steps=steps)

    def _reported(self, snapshot: Snapshot, rollout: Rollout, status: PatchStatus) -> Decision:
        """Return the status of the export, unless it is too early for it."""
        derived = snapshot.derived
        until = self._unbound_until(snapshot)
        early = rollout.hold_status or until < math.inf
        (self.early.add if early else self.early.discard)(snapshot.key)
        steps: tuple[Step, ...] = () if early else (status,)
        caught_up = caught_up_at(snapshot.imports.catching_up.values())
        look_again = math.inf if derived is None else min(until, caught_up, derived.look_again)
        return Decision(look_again, took_up=until == math.inf, steps=steps)

    def _unbound_until(self, snapshot: Snapshot) -> float:
        """Return until when it is too early to report that no cluster exports; infinity to report now."""
        derived, export = snapshot.derived, snapshot.export
        if derived is None or export is None:
            return math.inf
        if not conditions.is_transient(derived.conditions[0]) or was_valid(export.status):
            self._throttle.bound(snapshot.key, snapshot.changed_at, snapshot.now)
            return math.inf
        return self._throttle.unbound(snapshot.key, snapshot.changed_at, snapshot.now)

    def _followed(self, snapshot: Snapshot, service: ExportedService, export: StoredExport) -> Decision:
        """Let an export that no policy of a user selects go where its Service goes."""
        if service.taken_by or is_reserved(snapshot.key.namespace) or snapshot.in_use.export_policy:
            return Decision()
        key, live = snapshot.key, snapshot.export_policy
        follower = Follower(
            *export_of(key),
            snapshot.others,
            f"{EXPORT_PREFIX}{key.name}",
            live,
            service.selected,
            export.claim,
        )
        wanted = export_policy(service, snapshot.fleet.members)
        return self._follow.decide(follower, wanted, snapshot.now)


def _obstacle(snapshot: Snapshot, wanted: Rendered) -> tuple[Note, ...]:
    """Return a note if something prevents that what is wanted is written."""
    why = wanted.refused.message if wanted.refused else ""
    return (Note("error", "not written", {"service": str(snapshot.key), "reason": why}),) if why else ()


def _summary(derived: Derived) -> object:
    return derived.exporters, tuple(derived.views), derived.excluded


def _audit(key: ServiceKey, now: float) -> float:
    """Return when to reconcile a service in any case: not all of them at once."""
    spread = zlib.crc32(str(key).encode()) % 1000 / 3000
    return now + AUDIT_SECONDS * (1 + spread)

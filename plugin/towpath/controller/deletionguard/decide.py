"""The deletion guard: a limit on how many imports are removed at once, so that an empty list removes none.

An import that should go because no cluster exports or imports the service any more first waits until whatever
else has changed is reconciled. Then it goes, unless too many go with it: more than a share of all imports.
That is more likely a wrong answer than a wish, so it stays, the status names the namespace of most of them,
and everything is listed again. What still should go then is a wish, and goes at a limited rate for each
namespace. (The imports of a deleted export do not come here: the garbage collector removes what it owns.)

No tenant holds up another: of other namespaces no more than a part of the limit counts, and the rate is that
of a namespace. ``towpath.io/allow-withdrawal`` on the export lets its import go at once.

Where an import exists, Karmada has members with gateways, Services and bindings. An empty list of these is
no reason for any withdrawal: everything is listed again (``Relisting``), and the withdrawal waits until no
list is empty.

What a deleted export leaves is the garbage collector's. What is still there after its time is collected here:
at a limited rate as well, and only after a fresh read of the export (``act``). Where no export at all is
listed, everything is listed again first.

No I/O and no clock: callers pass the time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from towpath.controller.decision import Collect, Decision, Note
from towpath.controller.deletionguard.limit import CONFIRMATION_SECONDS, Limit, Verdict
from towpath.controller.metrics import Refusal
from towpath.derivation.drift import is_terminating
from towpath.derivation.followpolicy import selects_api
from towpath.derivation.render import Rendered
from towpath.derivation.stages import Write, is_foreign, stages
from towpath.inventory.snapshot import Snapshot
from towpath.karmada import resources
from towpath.karmada.wire import Name
from towpath.model.export import ALLOW_WITHDRAWAL
from towpath.model.keys import ServiceKey
from towpath.rules.handover import released
from towpath.rules.reasons import ConditionReason

CONFIRMING_LISTS = 2
"""Lists that confirm a withdrawal: the first may have begun before it."""
WAIT_SECONDS, REFUSED_SECONDS = 0.1, 5.0
"""The time until the guard is asked again: while a withdrawal waits, and after a refusal."""
COLLECTION_GRACE_SECONDS = 5.0
"""The time that the garbage collector has, which takes less than one second."""
FIRST_RELIST_SECONDS, MAX_RELIST_SECONDS = 1.0, 300.0
"""The time after the first list in vain, and the longest time between two."""


class Relisting:
    """When to list everything again because a list may be wrong: at once, then less and less often."""

    def __init__(self) -> None:
        self.due, self._delay = -math.inf, 0.0
        """``due`` is the time before which asking is useless."""

    def is_due(self, now: float) -> bool:
        """Return whether to list now. Ask whenever something is withheld."""
        if now < self.due:
            return False
        self._delay = min(max(2 * self._delay, FIRST_RELIST_SECONDS), MAX_RELIST_SECONDS)
        self.due = now + self._delay
        return True

    def calm(self) -> None:
        """Nothing is withheld any more: what comes next is another doubt."""
        self.due, self._delay = -math.inf, 0.0


class Judgement(NamedTuple):
    """The verdict on a withdrawal, and what it asks the reconciler to do."""

    verdict: Verdict
    decision: Decision = Decision()


class DeletionGuard:
    """Judges withdrawals.

    ``withheld`` are the services whose import is kept, each with the namespace of most of them. Withdrawals
    and what deleted exports have left are counted apart.
    """

    def __init__(self) -> None:
        self._limit, self._collecting = Limit(), Limit()
        self._doubted: dict[ServiceKey, int] = {}
        self._relisting = Relisting()
        self._left_over: dict[ServiceKey, float] = {}
        self.withheld: dict[ServiceKey, str] = {}

    def counted(self, now: float) -> Mapping[str, int]:
        """Return how many withdrawals count against the limit, by namespace."""
        return self._limit.counted(now)

    def judge(self, snapshot: Snapshot, wanted: Rendered) -> Judgement:
        """Judge whether an import may go, if it should; an import that stays may be written.

        After an empty list even a change has to wait: events bring back only a part of what a list left out.
        """
        key, now, template = snapshot.key, snapshot.now, snapshot.current.service_import
        empty = snapshot.missing_inputs
        stays = wanted.service_import is not None and not (empty and any(stages(snapshot.current, wanted)))
        if stays or wanted.refused or template is None or is_foreign(template) or _is_allowed(snapshot):
            self.forget(key)
            return Judgement(Verdict.GO)
        idle = snapshot.idle and not _is_moving(snapshot)
        confirmed = snapshot.lists >= self._doubted.get(key, snapshot.lists) + CONFIRMING_LISTS
        verdict = self._limit.ask(
            key, snapshot.existing, now, idle=idle, empty=bool(empty), confirmed=confirmed
        )
        if verdict is Verdict.GO:
            self._settle(key)
            return Judgement(verdict)
        decision = self._relist(now) if empty or verdict is Verdict.REFUSED else Decision()
        if verdict is Verdict.WAIT:
            return Judgement(verdict, decision + Decision(now + WAIT_SECONDS))
        self._doubted.setdefault(key, snapshot.lists)
        self.withheld[key] = mostly = "" if empty else self._limit.mostly
        fields = {
            "service": str(key),
            "reason": ConditionReason.WITHHELD.text,
            "missing": list(empty),
            "mostly": mostly,
        }
        refusal = Refusal.EMPTY_LIST if empty else Refusal.TOO_MANY
        return Judgement(verdict, decision + self._refused(now, refusal, Note("error", "withheld", fields)))

    def gone(self, snapshot: Snapshot) -> Decision:
        """Judge what is left of a service whose export does not exist."""
        key, now = snapshot.key, snapshot.now
        left = _left_of(snapshot)
        if not left or snapshot.terminating:
            self.forget(key)
            return Decision()
        since = self._left_over.setdefault(key, now)
        decision, confirmed = Decision(), since + CONFIRMATION_SECONDS
        if snapshot.no_exports and now < confirmed:
            return Decision(confirmed)
        if snapshot.no_exports:
            fields = {"service": str(key), "reason": "the import exists, but no export is listed"}
            note = Note("warning", "import left alone", fields)
            decision = self._relist(now) + self._refused(now, Refusal.UNKNOWN_EXPORT, note)
        if now < since + COLLECTION_GRACE_SECONDS:
            return decision + Decision(since + COLLECTION_GRACE_SECONDS)
        # A fresh read of the export confirms it before anything is deleted.
        verdict = self._collecting.ask(key, snapshot.existing, now, idle=snapshot.idle, confirmed=True)
        if verdict is Verdict.WAIT:
            return decision + Decision(now + WAIT_SECONDS)
        if verdict is Verdict.REFUSED:
            fields = {"service": str(key), "reason": ConditionReason.WITHHELD.text}
            return decision + self._refused(now, Refusal.TOO_MANY, Note("error", "withheld", fields))
        self._left_over[key] = now
        export = resources.service_exports(key.dialect)
        step = Collect(export, Name(key.namespace, key.name), left)
        return decision + Decision(now + COLLECTION_GRACE_SECONDS, steps=(step,))

    def forget(self, key: ServiceKey) -> None:
        """A service is withdrawn because a user wants it."""
        self._limit.settle(key)
        self._collecting.settle(key)
        self._settle(key)

    def _refused(self, now: float, refusal: Refusal, note: Note) -> Decision:
        look_again = min(now + REFUSED_SECONDS, self._relisting.due)
        return Decision(look_again, refusals=(refusal,), notes=(note,))

    def _settle(self, key: ServiceKey) -> None:
        self.withheld.pop(key, None)
        self._doubted.pop(key, None)
        self._left_over.pop(key, None)
        if not self._left_over and not self._limit.is_asked:
            self._relisting.calm()

    def _relist(self, now: float) -> Decision:
        if not self._relisting.is_due(now):
            return Decision()
        return Decision(relist=True, notes=(Note("warning", "listing everything again", {}),))


def _is_allowed(snapshot: Snapshot) -> bool:
    """Tell whether a user wants the import to go, or to be left to others, and no list is empty."""
    service, derived = snapshot.service, snapshot.derived
    if service is None or snapshot.missing_inputs:
        return False
    is_left = bool(released(service.annotations)) and derived is not None and bool(derived.exporters)
    return is_left or service.annotations.get(ALLOW_WITHDRAWAL) == "true"


def _is_moving(snapshot: Snapshot) -> bool:
    """Tell whether a cluster is about to export: an export that moves between clusters keeps its import."""
    return snapshot.derived is not None and bool(snapshot.derived.joining)


def _left_of(snapshot: Snapshot) -> tuple[Write, ...]:
    """Return what deletes the objects derived from an export: the template first, then its policies.

    Without its policies a template would show members its full list (teardown shows the full list).
    """
    current, api_version = snapshot.current, snapshot.key.dialect.api_version
    routes = [state.live for state in snapshot.routes.values()]
    templates = (current.service_import, *(live.route for live in routes))
    left = [obj for obj in templates if obj is not None and not is_foreign(obj)]
    if not left and current.service_import is None:
        policies = (current.propagation, *current.overrides.values(), snapshot.export_policy)
        left = [obj for obj in policies if obj is not None and selects_api(obj, api_version)]
        of_routes = (obj for live in routes for obj in (live.propagation, live.override))
        left += [obj for obj in of_routes if obj is not None]
    return tuple(Write(obj, None) for obj in left if not is_terminating(obj))

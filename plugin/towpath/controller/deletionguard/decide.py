"""The deletion guard: a limit on how many imports are removed at once, so that an empty list removes none.

An import that should go because no cluster exports or imports the service any more first waits until whatever
else has changed is reconciled. Then it goes, unless too many go with it: more than a share of all imports.
That is more likely a wrong answer than a wish, so all of them stay, the status says so, and the guard is
asked again until it has passed or fewer should go. (The imports of a deleted export do not come here: the
garbage collector removes what the export owns.)

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
from collections import deque
from enum import Enum, auto
from typing import NamedTuple

from towpath.controller.decision import Collect, Decision, Note
from towpath.controller.metrics import Refusal
from towpath.derivation.drift import is_terminating
from towpath.derivation.render import Rendered
from towpath.derivation.stages import Object, Write, is_foreign, stages
from towpath.inventory.snapshot import Snapshot
from towpath.karmada import resources
from towpath.karmada.reflector import Name
from towpath.model.keys import ServiceKey
from towpath.rules.reasons import ConditionReason, ExclusionReason

MAX_SHARE, MIN_ALLOWED = 0.3, 10
"""What may be withdrawn within a window: this share of all imports, and this many in any case."""
WINDOW_SECONDS = 30.0
"""The time over which withdrawals are counted."""
SETTLING_SECONDS = 5.0
"""The longest time for which a withdrawal waits for other changes to be reconciled."""
WAIT_SECONDS, REFUSED_SECONDS = 0.1, 5.0
"""The time until the guard is asked again: while a withdrawal waits, and after a refusal."""
CONFIRMATION_SECONDS = 2.0
"""The time that a list takes that shows whether another list was wrong, before anything is reported."""
COLLECTION_GRACE_SECONDS = 5.0
"""The time that the garbage collector has, which takes less than one second."""
FIRST_RELIST_SECONDS, MAX_RELIST_SECONDS = 1.0, 300.0
"""The time after the first list in vain, and the longest time between two."""


class Verdict(Enum):
    """What becomes of a withdrawal."""

    GO = auto()
    WAIT = auto()
    REFUSED = auto()


class Limit:
    """The services that should be withdrawn, and those that were withdrawn lately."""

    def __init__(self, share: float = MAX_SHARE) -> None:
        self._share = share
        self._asking: dict[ServiceKey, float] = {}
        self._gone: deque[float] = deque()

    @property
    def is_asked(self) -> bool:
        """Whether any service should be withdrawn."""
        return bool(self._asking)

    def ask(self, key: ServiceKey, existing: int, now: float, *, idle: bool, empty: bool = False) -> Verdict:
        """Ask for the withdrawal of one of ``existing`` imports.

        ``idle``: nothing else waits to be reconciled. ``empty``: a list that the withdrawal rests on was
        empty.
        """
        since = self._asking.setdefault(key, now)
        if empty:
            return Verdict.REFUSED if now - since >= CONFIRMATION_SECONDS else Verdict.WAIT
        if not idle and now - since < SETTLING_SECONDS:
            return Verdict.WAIT
        while self._gone and self._gone[0] < now - WINDOW_SECONDS:
            self._gone.popleft()
        gone = len(self._gone)
        if gone + len(self._asking) > max(MIN_ALLOWED, self._share * (existing + gone)):
            return Verdict.REFUSED
        del self._asking[key]
        self._gone.append(now)
        return Verdict.GO

    def settle(self, key: ServiceKey) -> None:
        """A service should not be withdrawn, or no longer."""
        self._asking.pop(key, None)


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
    """Judges withdrawals. ``withheld`` are the services whose import is kept."""

    def __init__(self) -> None:
        self._limit = Limit()
        self._relisting = Relisting()
        self._left_over: dict[ServiceKey, float] = {}
        self.withheld: set[ServiceKey] = set()

    def judge(self, snapshot: Snapshot, wanted: Rendered) -> Judgement:
        """Judge whether an import may go, if it should; an import that stays may be written.

        After an empty list even a change has to wait: events bring back only a part of what a list left out.
        """
        key, now, template = snapshot.key, snapshot.now, snapshot.current.service_import
        empty = snapshot.missing_inputs
        stays = wanted.service_import is not None and not (empty and any(stages(snapshot.current, wanted)))
        if stays or wanted.refused or template is None or is_foreign(template):
            self.forget(key)
            return Judgement(Verdict.GO)
        idle = snapshot.idle and not _is_moving(snapshot)
        verdict = self._limit.ask(key, snapshot.existing, now, idle=idle, empty=bool(empty))
        if verdict is Verdict.GO:
            self._settle(key)
            return Judgement(verdict)
        decision = self._relist(now) if empty or verdict is Verdict.REFUSED else Decision()
        if verdict is Verdict.WAIT:
            return Judgement(verdict, decision + Decision(now + WAIT_SECONDS))
        self.withheld.add(key)
        fields = {"service": str(key), "reason": ConditionReason.WITHHELD.text, "missing": list(empty)}
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
        verdict = self._limit.ask(key, snapshot.existing, now, idle=snapshot.idle)
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
        self._settle(key)

    def _refused(self, now: float, refusal: Refusal, note: Note) -> Decision:
        look_again = min(now + REFUSED_SECONDS, self._relisting.due)
        return Decision(look_again, refusals=(refusal,), notes=(note,))

    def _settle(self, key: ServiceKey) -> None:
        self.withheld.discard(key)
        self._left_over.pop(key, None)
        if not self._left_over and not self._limit.is_asked:
            self._relisting.calm()

    def _relist(self, now: float) -> Decision:
        if not self._relisting.is_due(now):
            return Decision()
        return Decision(relist=True, notes=(Note("warning", "listing everything again", {}),))


def _is_moving(snapshot: Snapshot) -> bool:
    """Tell whether a cluster is about to export: an export that moves between clusters keeps its import."""
    excluded = snapshot.derived.excluded.values() if snapshot.derived else ()
    return any(exclusion.reason is ExclusionReason.NOT_APPLIED_YET for exclusion in excluded)


def _left_of(snapshot: Snapshot) -> tuple[Write, ...]:
    """Return what deletes the objects derived from an export: the template first, then its policies.

    Without its policies a template would show members its full list (teardown shows the full list).
    """
    current, api_version = snapshot.current, snapshot.key.dialect.api_version
    if current.service_import is not None:
        left: list[Object] = [] if is_foreign(current.service_import) else [current.service_import]
    else:
        policies = (current.propagation, *current.overrides.values(), snapshot.export_policy)
        left = [obj for obj in policies if obj is not None and _selects(obj, api_version)]
    return tuple(Write(obj, None) for obj in left if not is_terminating(obj))


def _selects(policy: Object, api_version: str) -> bool:
    """Tell whether a derived policy is of this dialect: the names of policies are the same in both."""
    selectors = policy.get("spec", {}).get("resourceSelectors") or ()
    return any(selector.get("apiVersion") == api_version for selector in selectors)

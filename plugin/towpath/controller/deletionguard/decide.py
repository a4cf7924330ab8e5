"""The deletion guard: a limit on how many imports are removed at once, so that an empty list removes none.

An import that should go because no cluster exports or imports the service any more first waits until whatever
else has changed is reconciled. Then it goes, unless too many go with it: more than a share of all imports.
That is more likely a wrong answer than a wish, so all of them stay, the status says so, and the guard is
asked again until it has passed or fewer should go. (The imports of a deleted export do not come here: the
garbage collector removes what the export owns.)

Where an import exists, Karmada has members with gateways, Services and bindings. An empty list of these is no
reason for any withdrawal: everything is listed again (``Relisting``), and what should go waits until a list
is not empty. An import whose export is not listed is left to the garbage collector in any case; where no
export at all is listed, everything is listed again as well.

No I/O and no clock: callers pass the time.
"""

from __future__ import annotations

import math
from collections import deque
from enum import Enum, auto
from typing import NamedTuple

from towpath.controller.decision import Decision, Note
from towpath.controller.metrics import Refusal
from towpath.derivation.render import Rendered
from towpath.derivation.stages import is_foreign, stages
from towpath.inventory.snapshot import Snapshot
from towpath.model.keys import ServiceKey
from towpath.rules.reasons import ConditionReason

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
            self._limit.settle(key)
            self._settle(key)
            return Judgement(Verdict.GO)
        verdict = self._limit.ask(key, snapshot.existing, now, idle=snapshot.idle, empty=bool(empty))
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
        """Judge the import of a service whose export does not exist."""
        key, now, template = snapshot.key, snapshot.now, snapshot.current.service_import
        self._limit.settle(key)
        if template is None or is_foreign(template) or not snapshot.no_exports:
            self._settle(key)
            return Decision()
        confirmed = self._left_over.setdefault(key, now) + CONFIRMATION_SECONDS
        if now < confirmed:
            return Decision(confirmed)
        fields = {"service": str(key), "reason": "the import exists, but no export is listed"}
        note = Note("warning", "import left alone", fields)
        return self._relist(now) + self._refused(now, Refusal.UNKNOWN_EXPORT, note)

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

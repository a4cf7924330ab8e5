"""How many imports may be withdrawn within a time, counted for each namespace.

No I/O and no clock: callers pass the time.
"""

from __future__ import annotations

from collections import Counter, deque
from enum import Enum, auto

from towpath.model.keys import ServiceKey

MAX_SHARE, MIN_ALLOWED = 0.3, 10
"""What may be withdrawn within a window: this share of all imports, and this many in any case. What is
confirmed may be withdrawn in this number for each namespace."""
MAX_PART = 0.5
"""The part of the limit that one namespace fills for the others."""
WINDOW_SECONDS = 30.0
"""The time over which withdrawals are counted."""
SETTLING_SECONDS = 5.0
"""The longest time for which a withdrawal waits for other changes to be reconciled."""
CONFIRMATION_SECONDS = 2.0
"""The time that a list takes that shows whether another list was wrong, before anything is reported."""
MAX_NAMED, OTHERS = 5, "(other)"
"""Namespaces that a metric names, and what stands there for the rest: it is no name of a namespace."""


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
        self._gone: deque[tuple[float, str]] = deque()

    @property
    def is_asked(self) -> bool:
        """Whether any service should be withdrawn."""
        return bool(self._asking)

    @property
    def mostly(self) -> str:
        """The namespace of most of what is withdrawn or should be."""
        counts = self._counts()
        return max(counts, key=lambda namespace: (counts[namespace], namespace), default="")

    def ask(
        self,
        key: ServiceKey,
        existing: int,
        now: float,
        *,
        idle: bool,
        empty: bool = False,
        confirmed: bool = False,
    ) -> Verdict:
        """Ask for the withdrawal of one of ``existing`` imports.

        ``idle``: nothing else waits to be reconciled. ``empty``: a list that the withdrawal rests on was
        empty. ``confirmed``: everything was listed again since it was refused.
        """
        since = self._asking.setdefault(key, now)
        if empty:
            return Verdict.REFUSED if now - since >= CONFIRMATION_SECONDS else Verdict.WAIT
        if not idle and now - since < SETTLING_SECONDS:
            return Verdict.WAIT
        self._forget(now)
        if self._is_filled(key.namespace, existing) and not (confirmed and self._has_turn(key.namespace)):
            return Verdict.REFUSED
        del self._asking[key]
        self._gone.append((now, key.namespace))
        return Verdict.GO

    def counted(self, now: float) -> dict[str, int]:
        """Return how many withdrawals count, by namespace: of those with most, and of all others together."""
        self._forget(now)
        counts = self._counts()
        named = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MAX_NAMED])
        rest = counts.total() - sum(named.values())
        return {**named, OTHERS: rest} if rest else named

    def _forget(self, now: float) -> None:
        while self._gone and self._gone[0][0] < now - WINDOW_SECONDS:
            self._gone.popleft()

    def _is_filled(self, namespace: str, existing: int) -> bool:
        """Tell whether too much goes. Of each other namespace a part of the limit counts at most."""
        allowed = max(MIN_ALLOWED, self._share * (existing + len(self._gone)))
        counts = self._counts()
        own = counts.pop(namespace, 0)
        return own + sum(min(count, allowed * MAX_PART) for count in counts.values()) > allowed

    def _has_turn(self, namespace: str) -> bool:
        return sum(place == namespace for _, place in self._gone) < MIN_ALLOWED

    def _counts(self) -> Counter[str]:
        return Counter(place for _, place in self._gone) + Counter(key.namespace for key in self._asking)

    def settle(self, key: ServiceKey) -> None:
        """A service should not be withdrawn, or no longer."""
        self._asking.pop(key, None)

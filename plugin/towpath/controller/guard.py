"""A limit on how much may be withdrawn at once: an apiserver that answers with empty lists deletes nothing.

A service whose import is to go because nobody exports or imports it any more first waits until whatever
else has changed is worked through. Then it may go, unless too many go with it: more than a share of all
imports there are. That is more likely an answer that was wrong than a wish, so all of them stay, it is
said, and it is asked again until it has passed or fewer want to go. (Deleting an export does not come by
here: the garbage collector takes what it owns.)
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto

from towpath.model.keys import ServiceKey

SHARE, AT_LEAST = 0.3, 10
"""What may be withdrawn within a window: this share of all imports, and so many in any case."""
WINDOW = 30.0
"""Seconds."""
SETTLING = 5.0
"""Seconds for which a withdrawal waits at most for other changes to be worked through."""
PAUSE, AGAIN = 0.1, 5.0
"""Seconds after which to ask again: while it waits, and when it was refused."""


class Verdict(Enum):
    """What becomes of a withdrawal."""

    GO = auto()
    WAIT = auto()
    REFUSED = auto()


class Guard:
    """Who wants to go, and who went lately. Told the time by its callers."""

    def __init__(self, share: float = SHARE) -> None:
        self._share = share
        self._asking: dict[ServiceKey, float] = {}
        self._gone: deque[float] = deque()

    def ask(self, key: ServiceKey, existing: int, now: float, *, idle: bool) -> Verdict:
        """Ask for the withdrawal of one import of so many. ``idle``: nothing else is due."""
        since = self._asking.setdefault(key, now)
        if not idle and now - since < SETTLING:
            return Verdict.WAIT
        while self._gone and self._gone[0] < now - WINDOW:
            self._gone.popleft()
        gone = len(self._gone)
        if gone + len(self._asking) > max(AT_LEAST, self._share * (existing + gone)):
            return Verdict.REFUSED
        del self._asking[key]
        self._gone.append(now)
        return Verdict.GO

    def settle(self, key: ServiceKey) -> None:
        """A service does not want to go, or not any more."""
        self._asking.pop(key, None)

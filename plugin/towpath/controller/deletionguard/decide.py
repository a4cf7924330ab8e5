"""A limit on how much may be withdrawn at once: an apiserver that answers with empty lists deletes nothing.

A service whose import is to go because nobody exports or imports it any more first waits until whatever
else has changed is worked through. Then it may go, unless too many go with it: more than a share of all
imports there are. That is more likely an answer that was wrong than a wish, so all of them stay, it is
said, and it is asked again until it has passed or fewer want to go. (Deleting an export does not come by
here: the garbage collector takes what it owns.)

Where an import stands, Karmada has members with gateways, Services and bindings. So a list of them that held
nothing at all is no reason for any withdrawal, however few there are: it is listed anew (``Relisting``), and
what wants to go waits until a list held something.
"""

from __future__ import annotations

import math
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
CONFIRMING = 2.0
"""Seconds that a list may take that is to say whether another one was wrong, before anything is said."""
FIRST, LONGEST = 1.0, 300.0
"""Seconds after the first list in vain, and at most."""


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

    @property
    def is_asked(self) -> bool:
        """Whether anybody wants to go."""
        return bool(self._asking)

    def ask(self, key: ServiceKey, existing: int, now: float, *, idle: bool, hollow: bool = False) -> Verdict:
        """Ask for the withdrawal of one import of so many.

        ``idle``: nothing else is due. ``hollow``: a list that it rests upon held nothing at all.
        """
        since = self._asking.setdefault(key, now)
        if hollow:
            return Verdict.REFUSED if now - since >= CONFIRMING else Verdict.WAIT
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


class Relisting:
    """When to list everything anew because what was listed may be wrong: at once, then ever more rarely."""

    def __init__(self) -> None:
        self.due, self._pause = -math.inf, 0.0
        """``due`` is the time before which there is no use in asking."""

    def is_due(self, now: float) -> bool:
        """Tell whether to list now. To be asked whenever something is withheld."""
        if now < self.due:
            return False
        self._pause = min(max(2 * self._pause, FIRST), LONGEST)
        self.due = now + self._pause
        return True

    def calm(self) -> None:
        """Nothing is withheld any more: what comes next is another doubt."""
        self.due, self._pause = -math.inf, 0.0

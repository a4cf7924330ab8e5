"""An import's binding that stays bound to a former import of the name, and its cure (facts T14).

A template that is deleted and made anew has its binding collected and made anew as well. Should
kube-controller-manager's watch be cut at that moment, it never learns of the deletion: the binding keeps
the former template as its owner, Karmada refuses to use it for the new one ("different owner reference
UID") and tries that without end, and the members stay as they are. So a binding that names another
template than the present one for longer than collecting takes is deleted by us. Karmada has put off its
next try by then, so once the binding has gone a touch of the template makes it look.

No I/O and no clock of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from towpath.model.keys import ServiceKey

PATIENCE = 5.0
"""Seconds that the garbage collector has; it takes less than one. Also until the next try."""
SOON = 0.3
"""Seconds until to look again whether what was removed has gone: first it waits for its finalizers."""


class Cure(Enum):
    """What to do about an import's binding."""

    NOTHING = auto()
    REMOVE = auto()
    TOUCH = auto()


class Verdict(NamedTuple):
    """What to do now, and when to look again if nothing is heard."""

    cure: Cure = Cure.NOTHING
    look_again: float = math.inf


@dataclass
class _Seen:
    owner: str
    due: float
    removed: bool = False


class Disowned:
    """The services whose import's binding belongs to a former import."""

    def __init__(self) -> None:
        self._seen: dict[ServiceKey, _Seen] = {}

    def look(self, key: ServiceKey, former: str, now: float) -> Verdict:
        """Judge a service. ``former`` is the uid of the former import that the binding names, if it does."""
        seen = self._seen.get(key)
        if not former:
            if seen and seen.removed:
                return Verdict(Cure.TOUCH, now + SOON)
            self.forget(key)
            return Verdict()
        if seen is None or seen.owner != former:
            seen = self._seen[key] = _Seen(former, now + PATIENCE)
        if now < seen.due:
            return Verdict(look_again=seen.due)
        seen.due, seen.removed = now + PATIENCE, True
        return Verdict(Cure.REMOVE, seen.due)

    def forget(self, key: ServiceKey) -> None:
        """A service is gone, or cured."""
        self._seen.pop(key, None)

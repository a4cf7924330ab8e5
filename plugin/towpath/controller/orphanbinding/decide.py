"""A binding that stays bound to a former template of the name, and when to do something about it (facts T14).

A template that is deleted and made anew has its binding collected and made anew as well. Should
kube-controller-manager's watch be cut at that moment, it sees an object that has changed and not that one has
gone: what the former template owns stays. Karmada refuses to use such a binding for the new template
("different owner reference UID"), tries that without end, and the members stay as they are. So a binding that
names another template than the present one for longer than collecting takes is given to the present one.

No I/O and no clock of its own.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import NamedTuple

PATIENCE = 5.0
"""Seconds that the garbage collector has; it takes less than one. Also until the next try."""


class Seen(NamedTuple):
    """Whether to give the binding to the present template now, and when to look again if nothing is heard."""

    adopt: bool = False
    look_again: float = math.inf


class _Waiting(NamedTuple):
    former: str
    due: float


class Disowned:
    """The templates whose binding belongs to a former one."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, _Waiting] = {}

    def look(self, template: Hashable, former: str, now: float) -> Seen:
        """Judge a template. ``former`` is the uid that its binding names instead of its own, if it does."""
        if not former:
            self.forget(template)
            return Seen()
        one = self._waiting.get(template)
        if one is not None and one.former == former and now < one.due:
            return Seen(look_again=one.due)
        due = now + PATIENCE
        self._waiting[template] = _Waiting(former, due)
        return Seen(one is not None and one.former == former, due)

    def forget(self, template: Hashable) -> None:
        """A template is gone, or has its binding."""
        self._waiting.pop(template, None)

"""Resources that Envoy rejects, of one type: kept away from it, so that they take no other along.

A rejected response changes nothing in Envoy, or not all that it should. So the rest of it is sent again.
Envoy names the resource at fault in most cases. Where it does not, halves of the response are tried one after
the other until the resource is found: that takes some twenty responses to hundreds of resources. What is at
fault is tried again when it changes, and after a while with the next change of anything, since the fault can
be Envoy's: a port that is not free, say.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TypeVar

B = TypeVar("B")
AGAIN_SECONDS = 60.0
"""Time after which what is at fault is tried again."""
MOST_TRIES = 64
"""Responses to look for what is at fault, after which all that is left counts as such."""
_WORD = re.compile(r"[\w./:-]+")


class Quarantine:
    """What is at fault, and what may be."""

    def __init__(self) -> None:
        self.refused: dict[str, object] = {}
        """What is at fault, as it was rejected."""
        self._untried: list[tuple[str, ...]] = []
        self._tries = 0
        self._rejected_at = 0.0

    @property
    def is_searching(self) -> bool:
        """Whether something is kept away that may not be at fault."""
        return bool(self._untried)

    def reject(self, changed: Mapping[str, object], message: str, now: float) -> list[str]:
        """Take in that Envoy has rejected a response with these changes; return what is found at fault."""
        self._tries += 1
        self._rejected_at = now
        found = mentioned(changed, message)
        if not found and (len(changed) == 1 or self._tries >= MOST_TRIES):
            found = list(changed)
        self.refused |= {name: changed[name] for name in found}
        rest = tuple(name for name in changed if name not in found)
        if rest and not found:
            middle = len(rest) // 2
            self._untried += [rest[middle:], rest[:middle]]
        return found

    def proceed(self) -> None:
        """Let the next of what may be at fault be tried."""
        if self._untried:
            self._untried.pop()

    def begin(self, wanted: Mapping[str, object], now: float) -> None:
        """Take in that something else is wanted: what has changed, or is not wanted, is at fault no more."""
        self._untried.clear()
        self._tries = 0
        old = {} if now - self._rejected_at > AGAIN_SECONDS else self.refused
        self.refused = {name: body for name, body in old.items() if wanted.get(name) == body}

    def without(self, wanted: Mapping[str, B], accepted: Mapping[str, B]) -> dict[str, B]:
        """Return what is wanted, and instead of what is kept away what Envoy has accepted of it, if any."""
        if not self.refused and not self._untried:
            return dict(wanted)
        untried = {name for group in self._untried for name in group}
        usable = {}
        for name, body in wanted.items():
            if name not in untried and (name not in self.refused or self.refused[name] != body):
                usable[name] = body
            elif name in accepted:
                usable[name] = accepted[name]
        return usable


def mentioned(names: Collection[str], message: str) -> list[str]:
    """Return the names that a message of Envoy mentions. Some begin as others do."""
    words = {word.strip(".:") for word in _WORD.findall(message)}
    return [name for name in names if name in words]

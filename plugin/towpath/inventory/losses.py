"""Since when members are lost, on this process's own monotonic clock as well.

Karmada says since when it cannot reach a member, and a grace ends that long after by the wall clock of this
process. A wall clock that is wrong, or is set, must not end it early: a member that was lost while this
process ran counts as lost from when that was seen. For one that was lost before, Karmada's time counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable

JUMP_SECONDS = 1.0
"""The difference between two clocks that is more than drift."""


class Losses:
    """Remembers when losses were seen; ``wall`` and ``steady`` are the clocks, in seconds."""

    def __init__(
        self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._steady = steady
        self._seen: dict[str, float | None] = {}
        self._offset = wall() - steady()
        self._begun = False

    def begin(self) -> None:
        """All members are known: from now on a loss is seen when it happens."""
        self._begun = True

    def since(self, member: str, reported: float | None) -> float | None:
        """Return since when a member counts as lost (seconds since 1970), None if it is not."""
        if reported is None:
            self._seen.pop(member, None)
            return None
        seen = self._seen.setdefault(member, self._steady() if self._begun else None)
        return reported if seen is None else max(reported, seen + self._offset)

    def is_moved(self, now: float) -> bool:
        """Tell whether the wall clock was set, so that members that were seen lost have another time."""
        offset = now - self._steady()
        if abs(offset - self._offset) <= JUMP_SECONDS:
            return False
        self._offset = offset
        return any(seen is not None for seen in self._seen.values())

"""What is due: a queue in which a key stands at most once, with client-go's workqueue semantics.

A key added while it is being worked on is due again afterwards, so no change is missed and no key is
worked on twice at the same time. A key that failed comes back after a pause that doubles with each
failure in a row. Of several times at which a key is to be due later the first counts.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 30.0


class Queue(Generic[K]):
    """Keys that are due, in the order in which they became so."""

    def __init__(self) -> None:
        self._due: deque[K] = deque()
        self._since: dict[K, float] = {}
        self._waiting: set[K] = set()
        self._working: set[K] = set()
        self._failures: dict[K, int] = {}
        self._later: dict[K, asyncio.TimerHandle] = {}
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        return len(self._due)

    @property
    def oldest(self) -> float:
        """For how many seconds the key that stands first has been due."""
        return time.monotonic() - self._since[self._due[0]] if self._due else 0.0

    def add(self, key: K) -> None:
        """Say that a key is due."""
        if key in self._waiting:
            return
        self._waiting.add(key)
        if key not in self._working:
            self._enqueue(key)

    def _enqueue(self, key: K) -> None:
        self._due.append(key)
        self._since[key] = time.monotonic()
        self._arrived.set()

    async def get(self) -> K:
        """Wait for a key and take it. ``done`` or ``failed`` must follow."""
        while not self._due:
            self._arrived.clear()
            await self._arrived.wait()
        key = self._due.popleft()
        del self._since[key]
        self._waiting.discard(key)
        self._working.add(key)
        return key

    def done(self, key: K) -> None:
        """Say that the work on a key succeeded."""
        self._failures.pop(key, None)
        self._release(key)

    def failed(self, key: K) -> float:
        """Say that the work on a key failed: it is due again after the pause returned, in seconds."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause: float = min(FIRST_PAUSE * 2 ** (failures - 1), LONGEST_PAUSE)
        self._release(key)
        self.add_later(key, pause)
        return pause

    def add_later(self, key: K, pause: float) -> None:
        """Make a key due after so many seconds, unless it will be sooner."""
        loop, known = asyncio.get_running_loop(), self._later.get(key)
        when = loop.time() + pause
        if known is not None:
            if known.when() <= when:
                return
            known.cancel()
        self._later[key] = loop.call_at(when, self._is_time, key)

    def _is_time(self, key: K) -> None:
        del self._later[key]
        self.add(key)

    def _release(self, key: K) -> None:
        self._working.discard(key)
        if key in self._waiting:
            self._enqueue(key)

"""What is due: a queue in which a key stands at most once, with client-go's workqueue semantics.

A key added while it is being worked on is due again afterwards, so no change is missed and no key is
worked on twice at the same time. A key that failed comes back after a pause that doubles with each
failure in a row; all failures together are held to a rate by a token bucket, so that a thousand keys that
fail at once do not come back at once.

``put_behind`` tells that all that is due now is a replay of what has been there before, as at start-up: what
changes from then on goes first, and every fourth turn is the replay's, so that it ends in any case. A key
that changes while it waits there is moved up; one that fails there comes back there.

In one turn of the event loop one key is given out: with nothing to wait for, workers would else go through
all of them while the loop does nothing else, such as hearing what has changed.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 30.0
RETRIES, BURST = 50.0, 100
"""Keys that may come back after failures, a second, and how many at once after a quiet time."""
TURN = 4
"""Every so many-th key is taken from those that were put behind, if there are any."""


class Bucket:
    """A token bucket: ``rate`` a second, and ``burst`` at once after a quiet time. Told the time."""

    def __init__(self, rate: float, burst: int) -> None:
        self._each = 1 / rate
        self._depth = burst / rate
        self._paid_until = 0.0

    def take(self, now: float) -> bool:
        """Take a token if there is one; tell whether there was."""
        until = max(now, self._paid_until) + self._each
        if until - now > self._depth + self._each / 1000:
            return False
        self._paid_until = until
        return True

    def pause(self, now: float) -> float:
        """Take a token; return how many seconds from now it is there."""
        self._paid_until = max(now, self._paid_until) + self._each
        return max(0.0, self._paid_until - now - self._depth)


class Queue(Generic[K]):
    """Keys that are due, in the order in which they became so but for those that were put behind."""

    def __init__(self) -> None:
        self._due: OrderedDict[K, float] = OrderedDict()
        self._behind: OrderedDict[K, float] = OrderedDict()
        self._replayed: set[K] = set()
        """Those of ``_behind``, also while they are worked on or come back, until done or added anew."""
        self._caught_up = asyncio.Event()
        self._taken = 0
        self._has_given = False
        self._working: set[K] = set()
        self._again: set[K] = set()
        self._failures: dict[K, int] = {}
        self._later: dict[K, asyncio.TimerHandle] = {}
        self._bucket = Bucket(RETRIES, BURST)
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        return len(self._due) + len(self._behind)

    @property
    def oldest(self) -> float:
        """For how many seconds the key that has waited longest has been due."""
        now = time.monotonic()
        return now - min((*self._due.values(), *self._behind.values()), default=now)

    def add(self, key: K) -> None:
        """Say that a key is due because something has changed."""
        self._not_replayed(key)
        self._enqueue(key)

    def _not_replayed(self, key: K) -> None:
        self._replayed.discard(key)
        if not self._replayed:
            self._caught_up.set()

    async def caught_up(self) -> None:
        """Wait until none of those that were put behind is left to be worked on."""
        await self._caught_up.wait()

    def put_behind(self) -> None:
        """Let everything that is due now wait for what will be."""
        self._behind.update(self._due)
        self._due.clear()
        self._replayed.update(self._behind)
        if self._replayed:
            self._caught_up.clear()
        else:
            self._caught_up.set()

    def _enqueue(self, key: K) -> None:
        if key in self._working:
            self._again.add(key)
            return
        keys = self._behind if key in self._replayed else self._due
        since = None if keys is self._behind else self._behind.pop(key, None)
        keys.setdefault(key, time.monotonic() if since is None else since)
        self._arrived.set()

    async def get(self) -> K:
        """Wait for a key and take it. ``done`` or ``failed`` must follow."""
        while self._has_given or not len(self):
            self._arrived.clear()
            await self._arrived.wait()
        self._has_given = True
        asyncio.get_running_loop().call_soon(self._next_turn)
        self._taken += 1
        behind = self._behind and (not self._due or self._taken % TURN == 0)
        keys = self._behind if behind else self._due
        key, _ = keys.popitem(last=False)
        self._working.add(key)
        return key

    def _next_turn(self) -> None:
        self._has_given = False
        self._arrived.set()

    def done(self, key: K) -> None:
        """Say that the work on a key succeeded."""
        self._failures.pop(key, None)
        self._not_replayed(key)
        self._release(key)

    def failed(self, key: K) -> float:
        """Say that the work on a key failed: it is due again after the pause returned, in seconds."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        own: float = min(FIRST_PAUSE * 2 ** (failures - 1), LONGEST_PAUSE)
        pause = max(own, self._bucket.pause(time.monotonic()))
        self._release(key)
        self.add_later(key, pause)
        return pause

    def add_later(self, key: K, pause: float) -> None:
        """Make a key due after so many seconds, or earlier if that has been said before."""
        loop = asyncio.get_running_loop()
        known = self._later.get(key)
        if known is not None:
            if known.when() <= loop.time() + pause:
                return
            known.cancel()
        self._later[key] = loop.call_later(pause, self._come, key)

    def _come(self, key: K) -> None:
        del self._later[key]
        self._enqueue(key)

    def _release(self, key: K) -> None:
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self._enqueue(key)

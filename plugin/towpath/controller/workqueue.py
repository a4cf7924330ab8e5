"""What is due: a queue in which a key stands at most once, with client-go's workqueue semantics.

A key that is added while it is being worked on is due again afterwards, so no change is missed and no key is
worked on twice at the same time. A key that failed comes back after a pause that doubles with each failure in
a row; a token bucket limits all failures together, so that a thousand keys that fail at once do not come back
at once.

``put_behind`` marks everything that is due now as a replay of what existed before, as at start-up: what
changes from then on goes first, and every fourth turn is the replay's, so that it ends in any case. A key
that changes while it waits there moves up; a key that fails there comes back there.

One key is given out in each turn of the event loop. If nothing had to be waited for, workers would otherwise
process all of them while the loop does nothing else, such as receiving changes.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from towpath.controller.token_bucket import TokenBucket

K = TypeVar("K", bound=Hashable)
FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.05, 30.0
RETRIES_PER_SECOND, RETRY_BURST = 50.0, 100
"""Keys that may come back after failures: in a second, and at once after a quiet time."""
REPLAY_INTERVAL = 4
"""Every so many-th key comes from the replay, if there is one."""


class Queue(Generic[K]):
    """Keys that are due, in the order in which they became so; those that were put behind come later."""

    def __init__(self) -> None:
        self._due: OrderedDict[K, float] = OrderedDict()
        self._behind: OrderedDict[K, float] = OrderedDict()
        self._replayed: set[K] = set()
        """The keys of ``_behind``, also while they are worked on or come back, until done or added again."""
        self._replay_done = asyncio.Event()
        self._taken = 0
        self._has_given = False
        self._working: set[K] = set()
        self._again: set[K] = set()
        self._failures: dict[K, int] = {}
        self._later: dict[K, asyncio.TimerHandle] = {}
        self._bucket = TokenBucket(RETRIES_PER_SECOND, RETRY_BURST)
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        return len(self._due) + len(self._behind)

    @property
    def oldest(self) -> float:
        """The seconds for which the key that has waited longest has been due."""
        now = time.monotonic()
        return now - min((*self._due.values(), *self._behind.values()), default=now)

    def add(self, key: K) -> None:
        """Make a key due because something has changed."""
        self._not_replayed(key)
        self._enqueue(key)

    def _not_replayed(self, key: K) -> None:
        self._replayed.discard(key)
        if not self._replayed:
            self._replay_done.set()

    async def replayed(self) -> None:
        """Wait until every key that was put behind has been worked on."""
        await self._replay_done.wait()

    def put_behind(self) -> None:
        """Let everything that is due now give way to what becomes due later."""
        self._behind.update(self._due)
        self._due.clear()
        self._replayed.update(self._behind)
        if self._replayed:
            self._replay_done.clear()
        else:
            self._replay_done.set()

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
        behind = self._behind and (not self._due or self._taken % REPLAY_INTERVAL == 0)
        keys = self._behind if behind else self._due
        key, _ = keys.popitem(last=False)
        self._working.add(key)
        return key

    def _next_turn(self) -> None:
        self._has_given = False
        self._arrived.set()

    def done(self, key: K) -> None:
        """Report that the work on a key succeeded."""
        self._failures.pop(key, None)
        self._not_replayed(key)
        self._release(key)

    def failed(self, key: K) -> float:
        """Report that the work on a key failed; return after how many seconds it is due again."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        own: float = min(FIRST_RETRY_SECONDS * 2 ** (failures - 1), MAX_RETRY_SECONDS)
        pause = max(own, self._bucket.pause(time.monotonic()))
        self._release(key)
        self.add_later(key, pause)
        return pause

    def add_later(self, key: K, pause: float) -> None:
        """Make a key due after so many seconds, or earlier if an earlier time is set already."""
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

"""Requests at a steady rate, and what came of each."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from tests.support.envoys import call
from tests.support.waiting import until

MOST_IN_FLIGHT = 50


class Load:
    """Calls one URL until stopped. ``seen`` counts who has answered, or what went wrong."""

    def __init__(self, session: aiohttp.ClientSession, url: str, rate: float, **options: Any) -> None:
        self.seen: Counter[str] = Counter()
        self._session, self._url, self._rate, self._options = session, url, rate, options
        self._calls: set[asyncio.Task[None]] = set()

    @property
    def failed(self) -> dict[str, int]:
        """What did not come from a pod, and how often."""
        return {what: count for what, count in self.seen.items() if not what.startswith("pod-")}

    @property
    def in_flight(self) -> int:
        """How many requests wait for an answer."""
        return len(self._calls)

    async def until(self, answers: int, who: str = "") -> None:
        """Wait for so many more answers, of one pod if it is named."""
        wanted = self._count(who) + answers

        async def count() -> int:
            return self._count(who)

        await until(count, lambda seen: seen >= wanted)

    def _count(self, who: str) -> int:
        return self.seen[who] if who else self.seen.total()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        sent = 0
        while True:
            while sent < (loop.time() - began) * self._rate:
                sent += 1
                if len(self._calls) >= MOST_IN_FLIGHT:
                    continue  # the machine cannot keep up, which is not what is tested
                task = asyncio.create_task(self._call(sent))
                self._calls.add(task)
                task.add_done_callback(self._calls.discard)
            await asyncio.sleep(1 / self._rate)

    async def drain(self) -> None:
        """Wait for the answers that are on their way."""
        await asyncio.gather(*self._calls)

    async def _call(self, number: int) -> None:
        try:
            headers = {"x-number": str(number)}
            self.seen[await call(self._session, self._url, headers=headers, **self._options)] += 1
        except (aiohttp.ClientError, TimeoutError) as error:
            self.seen[f"{type(error).__name__} {error}"] += 1


@asynccontextmanager
async def load(
    session: aiohttp.ClientSession, url: str, rate: float = 200, **options: Any
) -> AsyncIterator[Load]:
    """Call a URL at a rate while the block runs, and wait for all answers at its end."""
    one = Load(session, url, rate, **options)
    running = asyncio.create_task(one.run())
    try:
        yield one
    finally:
        running.cancel()
        await one.drain()

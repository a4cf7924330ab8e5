"""Requests at a steady rate, and the result of each."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from tests.support.envoys import call
from tests.support.waiting import PATIENCE, until

MOST_IN_FLIGHT = 50


class Load:
    """Calls one URL until stopped. ``seen`` counts answers by backend, and errors."""

    def __init__(self, session: aiohttp.ClientSession, url: str, rate: float, **options: Any) -> None:
        self.seen: Counter[str] = Counter()
        self.waiting: set[int] = set()
        """The numbers of the requests that wait for an answer."""
        self.lost: set[int] = set()
        """The numbers of the requests that no pod has answered."""
        self._session, self._url, self._rate, self._options = session, url, rate, options
        self._calls: set[asyncio.Task[None]] = set()

    @property
    def failed(self) -> dict[str, int]:
        """What did not come from a pod, and how often."""
        return {answer: count for answer, count in self.seen.items() if not answer.startswith("pod-")}

    async def until(self, answers: int, backend: str = "", patience: float = PATIENCE) -> None:
        """Wait for so many more answers, of one pod if it is named."""
        wanted = self._count(backend) + answers

        async def count() -> int:
            return self._count(backend)

        await until(count, lambda seen: seen >= wanted, patience)

    def _count(self, backend: str) -> int:
        return self.seen[backend] if backend else self.seen.total()

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
        self.waiting.add(number)
        try:
            headers = {"x-number": str(number)}
            answer = await call(self._session, self._url, headers=headers, **self._options)
        except (aiohttp.ClientError, TimeoutError) as error:
            answer = f"{type(error).__name__} {error}"
        self.waiting.remove(number)
        self.seen[answer] += 1
        if not answer.startswith("pod-"):
            self.lost.add(number)


@asynccontextmanager
async def load(
    session: aiohttp.ClientSession, url: str, rate: float = 200, **options: Any
) -> AsyncIterator[Load]:
    """Call a URL at a rate while the block runs, and wait for all answers at its end."""
    running_load = Load(session, url, rate, **options)
    running = asyncio.create_task(running_load.run())
    try:
        yield running_load
    finally:
        running.cancel()
        await running_load.drain()

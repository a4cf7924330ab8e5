"""Writes to the member's apiserver: each by one of the agents, and by another one if that does not.

The agents of a member want the same. The first in the order of their nodes writes at once; each of the
others waits a little longer and writes only what is missing still. Needs no election, and no agent is missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog

from towpath.errors import ApiError, Conflict
from towpath.net.metrics import Metrics, WriteOutcome

log = structlog.get_logger()

STEP_SECONDS, LONGEST_STEP = 0.3, 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_AT_ONCE = 4
"""Connections for writes: each takes 300 KiB, a minute beyond its last use."""


@dataclass(frozen=True)
class Write:
    """Something that has to be in the apiserver. ``is_needed`` tells whether it is missing still."""

    kind: str
    name: str
    is_needed: Callable[[], bool]
    write: Callable[[], Awaitable[None]]


@dataclass
class _Due:
    at: float
    failures: int = 0


class Writer:
    """Carries writes out when they are due."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._wanted: Mapping[tuple[str, str], Write] = {}
        self._due: dict[tuple[str, str], _Due] = {}
        self._changed = asyncio.Event()

    def want(self, writes: Iterable[Write], rank: int) -> None:
        """Have these made, and no others. ``rank`` is this agent's place among the agents of the member."""
        now = asyncio.get_running_loop().time()
        self._wanted = {(write.kind, write.name): write for write in writes if write.is_needed()}
        delay = min(rank * STEP_SECONDS, LONGEST_STEP)
        self._due = {key: self._due.get(key) or _Due(now + delay) for key in self._wanted}
        self._changed.set()

    async def run(self) -> None:
        """Write until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            now = loop.time()
            ready = [(self._wanted[key], due) for key, due in self._due.items() if due.at <= now][:_AT_ONCE]
            await asyncio.gather(*(self._carry_out(write, due) for write, due in ready))
            if ready:
                continue
            first = min((due.at for due in self._due.values()), default=None)
            try:
                async with asyncio.timeout_at(first):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _carry_out(self, write: Write, due: _Due) -> None:
        key = (write.kind, write.name)
        try:
            if write.is_needed():
                await write.write()
                self._metrics.writes[write.kind, WriteOutcome.DONE].inc()
        except ApiError as error:
            self._metrics.writes[write.kind, WriteOutcome.FAILED].inc()
            if not isinstance(error, Conflict):  # another agent was faster: its state is on its way
                log.warning("write failed", kind=write.kind, name=write.name, error=str(error))
            due.failures += 1
            pause = min(_FIRST_PAUSE * 2 ** (due.failures - 1), _LONGEST_PAUSE)
            due.at = asyncio.get_running_loop().time() + pause
        else:
            if self._wanted.get(key) is write:  # else there is a newer one, which is due as well
                self._due.pop(key, None)

"""The last answer of a Prometheus, asked for again and again while somebody watches.

Each replica asks for itself: viewers are connected to any of them, and only the one that has viewers asks.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager

import structlog

from towpath.rules.reasons import TrafficReason
from towpath.traffic.query import Unmeasured
from towpath.traffic.rates import NONE, Measurement, Rates, steady

log = structlog.get_logger()
PERIOD_SECONDS = 15.0
MAX_AGE_SECONDS = 60.0
"""Age from which an answer says nothing about the present."""
_REST, _LONGEST_REST_SECONDS = 9.0, 45.0
"""An answer that costs much, as no Prometheus gives one, is followed by a rest as long as so many times its
cost: there is time for the next one before it is too old."""
MEASURED = "Measured"
"""The outcome of a query that is answered. All others are reasons."""

Ask = Callable[[Collection[str]], Awaitable[Rates]]
"""Returns the rates between the members of these names. Raises Unmeasured."""


class Meter:
    """The traffic. Without ``ask`` it is unknown. ``count`` is called with the outcome of each query."""

    def __init__(
        self,
        ask: Ask | None = None,
        members: Callable[[], Collection[str]] = tuple,
        count: Callable[[str], None] = lambda outcome: None,
    ) -> None:
        self._ask, self._members, self._count = ask, members, count
        self._first = TrafficReason.NOT_MEASURED_YET if ask else TrafficReason.NO_PROMETHEUS
        self.latest = Measurement(reason=self._first)
        self._failure: Unmeasured | None = None
        self._outcome = ""
        self._watchers: list[Callable[[], None]] = []
        self._watched = asyncio.Event()
        self._expiry: asyncio.TimerHandle | None = None

    @contextmanager
    def watching(self, changed: Callable[[], None]) -> Iterator[None]:
        """Ask for the length of the block, and call the function after each change."""
        self._watchers.append(changed)
        self._watched.set()
        try:
            yield
        finally:
            self._watchers.remove(changed)
            if not self._watchers:
                self._watched.clear()

    async def run(self) -> None:
        """Ask until cancelled."""
        try:
            while self._ask is not None:
                await self._watched.wait()
                began = time.thread_time()
                await self._measure(self._ask)
                rest = min(_REST * (time.thread_time() - began), _LONGEST_REST_SECONDS)
                spread = random.uniform(0.9, 1.1)  # noqa: S311 - of the load
                await asyncio.sleep(max(PERIOD_SECONDS * spread, rest))
        finally:
            self._cancel_expiry()

    async def _measure(self, ask: Ask) -> None:
        try:
            rates = await ask(self._members())
        except Unmeasured as error:
            self._fail(error)
        except Exception as error:
            # Whatever a foreign server provokes in the client must not end the plugin.
            log.exception("traffic not measured", error=repr(error))
            self._fail(Unmeasured(TrafficReason.INVALID_ANSWER))
        else:
            self._succeed(rates)

    def _succeed(self, rates: Rates) -> None:
        self._note(MEASURED)
        self._failure = None
        self._cancel_expiry()
        self._expiry = asyncio.get_running_loop().call_later(MAX_AGE_SECONDS, self._expire)
        self._show(Measurement(steady(self.latest.rates, rates), at=time.time()))

    def _fail(self, error: Unmeasured) -> None:
        self._note(error.reason, error.detail, error.seen)
        self._failure = error
        if self.latest.reason is not None:  # the last answer counts for a minute
            self._show(Measurement(reason=error.reason, detail=error.detail))

    def _expire(self) -> None:
        failure = self._failure
        reason, detail = (failure.reason, failure.detail) if failure else (self._first, "")
        self._show(Measurement(NONE, reason=reason, detail=detail))

    def _cancel_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def _show(self, latest: Measurement) -> None:
        if latest != self.latest:
            self.latest = latest
            for changed in self._watchers:
                changed()

    def _note(self, outcome: str, detail: str = "", seen: str = "") -> None:
        """Count an outcome, and log it if it is another one than the last."""
        self._count(outcome)
        if outcome == self._outcome:
            return
        self._outcome = outcome
        if outcome == MEASURED:
            log.info("traffic measured")
        else:
            log.warning("traffic not measured", reason=outcome, detail=detail, seen=seen)

"""The play: services that change while the plugin is killed and its apiserver misbehaves, then the verdict.

All that is chosen is drawn from one seed: which service changes how, which faults a plugin lives with, after
how many of its requests it is killed. (When each request arrives is not, so no two runs are the same.)
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import count
from random import Random

from tests.chaos.churn import Churn
from tests.chaos.proxy import READS, Act, Fault, Sort
from tests.chaos.verdict import READ, differences, judge
from tests.chaos.victim import Victim
from tests.conftest import Plane
from tests.support.waiting import until
from towpath.karmada import resources
from towpath.karmada.client import Client
from towpath.local import processes
from towpath.model.keys import Dialect
from towpath.polling import accepted

WRITES = frozenset({Sort.WRITE})
STEADY = READS | WRITES
"""Not the first look at the apiserver: without an answer to that a plugin does not start."""
FAULTS = (
    None,
    Fault(Act.BROKEN, 0.2),
    Fault(Act.BUSY, 0.3),
    Fault(Act.LOST, 0.3, WRITES),
    Fault(Act.GONE, 0.3, READS),
    Fault(Act.CUT, 0.2, STEADY),
    Fault(Act.GARBAGE, 0.1, STEADY),
    Fault(Act.HANG, 0.05, STEADY),
)
_REQUESTS = 90
"""A plugin is killed after so many requests at most; it reads the world with some 24."""
_STEPS = 12
"""... or so many changes."""
_MAX_STEPS = 600
"""... or so many, until its fault has taken place: on a slow machine a plugin reads for long first."""
_WATCHES = 10
"""A plugin opens more than so many."""
_APISERVER = "karmada-apiserver"
Say = Callable[[str], None]


def teller() -> Say:
    """Return what prints a line with the seconds since now before it."""
    began = time.monotonic()
    return lambda line: print(f"{time.monotonic() - began:6.1f} s  {line}", flush=True)


@dataclass(frozen=True)
class Length:
    """How long to play."""

    services: int
    kills: int
    outage: float
    burst: int
    patience: float
    """Seconds until everything must be right."""
    frozen: float = 0.0


@dataclass(frozen=True)
class Play:
    """One play on a plane. ``churned`` and ``burst`` are its two namespaces, which must exist."""

    plane: Plane
    karmada: Client
    members: Mapping[str, Client]
    plugin: Victim
    random: Random
    length: Length
    churned: str
    burst: str
    say: Say

    async def run(self) -> None:
        """Play to the end. Raises AssertionError with what differs in the end."""
        churn = Churn(self.karmada, self.churned, self.length.services, self.random)
        self.plugin.kill()
        await churn.make_all()
        await until(self._differences, bool)  # a verdict that misses no import would be none
        for number in range(self.length.kills):
            await self._round(churn, number)
        self.plugin.start()
        await self._cut_watches(churn)
        await self._outage(churn)
        if self.length.frozen:
            await self._freeze(churn)
        await self._burst()
        await judge(
            self.plane,
            self.karmada,
            self.members,
            (self.churned, self.burst),
            patience=self.length.patience,
            say=self.say,
        )

    async def _round(self, churn: Churn, number: int) -> None:
        """Let a plugin live with a fault while services change, and kill it."""
        fault, proxy = FAULTS[number % len(FAULTS)], self.plugin.proxy
        most, before = self.random.randint(1, _REQUESTS), proxy.passed.total()
        had = proxy.done[fault.act] if fault else 0

        def taken_place() -> bool:
            """On a slow machine few requests come at first, and none of them may meet the fault."""
            return fault is None or proxy.done[fault.act] > had

        def enough(passed: Counter[Sort]) -> bool:
            return passed.total() - before >= most and taken_place()

        with ExitStack() as stack:
            if fault is not None:
                stack.enter_context(proxy.fault(fault))
            self.plugin.start()
            await proxy.until(lambda passed: passed.total() > before, patience=30)
            for step in count(1):
                await churn.step()
                if await proxy.until(enough, patience=0.2) or (taken_place() and step >= _STEPS):
                    break
                assert step < _MAX_STEPS, f"{fault} has not taken place: see {self.plugin.log}"
            lived = self.plugin.lives
            self.plugin.kill()
        done, met = proxy.passed.total() - before, fault or "nothing"
        self.say(f"kill -9 number {number + 1} after {done} requests, having met {met}")
        assert lived, f"the plugin had ended by itself: see {self.plugin.log}"

    async def _cut_watches(self, churn: Churn) -> None:
        await self.plugin.synced()

        async def open_() -> int:
            return self.plugin.proxy.watches

        for _ in range(2):
            await until(open_, lambda count: count >= _WATCHES)
            self.say(f"{self.plugin.proxy.cut()} watches cut")
            await churn.step()

    async def _outage(self, churn: Churn) -> None:
        """Stop Karmada's apiserver for a while. Everything else runs on."""
        self.say(f"Karmada's apiserver stopped for {self.length.outage:.0f} s")
        processes.stop(self.plane.env, _APISERVER)
        await asyncio.sleep(self.length.outage)
        await processes.start(self.plane.env, _APISERVER)
        for kind in READ:  # ready or not, it may still answer that its storage is initializing
            await accepted(partial(self.karmada.list, kind), patience=30)
        self.say("Karmada's apiserver is back")
        for _ in range(5):
            await accepted(churn.step, patience=30)
        assert self.plugin.lives

    async def _freeze(self, churn: Churn) -> None:
        """Freeze a member's apiserver, for longer than Karmada waits for it and not long enough to be lost.

        This is a lost write: what Karmada wrote meanwhile is lost, and it reports that all is applied.
        """
        name = "cluster-2-apiserver"
        frozen = processes.running(self.plane.env.root)[name]
        self.say(f"{name} frozen for {self.length.frozen:.0f} s (lost write)")
        frozen.suspend()
        try:
            for _ in range(10):
                await churn.step()
            await asyncio.sleep(self.length.frozen)
        finally:
            frozen.resume()
        self.say(f"{name} goes on")

    async def _burst(self) -> None:
        """Export many at once and delete them soon: some while the plugin lives, the rest after its end."""
        churn = Churn(self.karmada, self.burst, self.length.burst, self.random)
        await churn.make_all()
        self.say(f"{self.length.burst} services exported at once")

        async def written() -> int:
            found = [await self.karmada.list(resources.service_imports(d), self.burst) for d in Dialect]
            return sum(map(len, found))

        await until(written, lambda count: count >= self.length.burst // 4, patience=self.length.patience)
        half = self.length.burst // 2
        await asyncio.gather(*map(churn.delete, churn.wares[:half]))
        self.plugin.kill()
        self.say(f"{half} of them deleted, and kill -9")
        await asyncio.gather(*map(churn.delete, churn.wares[half:]))
        self.plugin.start()
        self.say("the others deleted while there was no plugin")

    async def _differences(self) -> list[str]:
        return await differences(self.plane, self.karmada, self.members, (self.churned, self.burst))

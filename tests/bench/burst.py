"""How long many exports made at once take to reach every member, next to as many plain objects.

    make bench BENCH=burst [OUT=file.json] [ARGS="--number 200 --rounds 3 --qps default"]

In every round so many ConfigMaps are carried at once in the way chained, then so many twins, then so many
exports in the way towpath (``ways`` tells of all three): the clock starts before the first write of all and
ends when every member holds what it must of all of them. As many Services have been in two of the members
before. Then everything is deleted and gone, and the plane idles for a while before the next.

"CPU" is what each process used meanwhile, as the share of one core: who is busiest is the limit. "Writes" are
those of each program on Karmada's apiserver, for each export.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tests.bench.plane import Say, plane
from tests.bench.report import Goal, machine, summary, table
from tests.bench.running import Options, Written, busiest, finish, main_of, most_written, usage
from tests.bench.ways import CHAINED, TOWPATH, TWIN, Stage, Way, staged

RATIO_GOAL = 1.1
PATIENCE = 600.0
SETTLE = 5.0
WAYS = (CHAINED, TWIN, TOWPATH)


class Burst(NamedTuple):
    """The seconds until each is everywhere, what each process used until the last, and the writes of each."""

    seconds: list[float]
    used: Mapping[str, float]
    writes: Mapping[str, float]


async def _burst(stage: Stage, way: Way, names: Sequence[str]) -> Burst:
    """Carry all of them at once."""
    await asyncio.gather(*(way.prepare(stage, name) for name in names))
    await asyncio.sleep(SETTLE)
    before, written, started = usage(stage.plane.env), Written(stage.plane.audit), time.monotonic()
    arrived = await asyncio.gather(*(way.carry(stage, name) for name in names))
    after, seconds = usage(stage.plane.env), max(arrived) - started
    writes = written.each(len(names))
    await way.clear(stage, *names)
    used = {process: (after[process] - before.get(process, 0.0)) / seconds for process in after}
    return Burst([moment - started for moment in arrived], used, writes)


async def measure(options: Options, number: int, say: Say) -> dict[str, Any]:
    """Boot a plane, and measure all rounds on it."""
    document: dict[str, Any] = {"bench": "burst", "machine": machine(), "number": number}
    last: dict[str, list[float]] = {way.name: [] for way in WAYS}
    every: dict[str, list[float]] = {way.name: [] for way in WAYS}
    last_burst: dict[str, Burst] = {}
    async with plane(options.qps, say) as booted, staged(booted, PATIENCE) as stage:
        for round_ in range(options.rounds + 1):
            for way in WAYS:
                names = [f"{way.name}-{round_:02}-{n:04}" for n in range(number if round_ else 10)]
                burst = last_burst[way.name] = await _burst(stage, way, names)
                seconds = burst.seconds
                warm_up = "" if round_ else "  (warm-up)"
                say(f"round {round_}  {way.name}: all {len(names)} after {max(seconds):.2f} s{warm_up}")
                if round_:
                    last[way.name].append(max(seconds))
                    every[way.name] += seconds
    rows = {f"{name}, all": summary(samples) for name, samples in last.items()}
    rows |= {f"{name}, each": summary(samples) for name, samples in every.items()}
    chained, twin, towpath = (rows[f"{way.name}, all"]["p50"] for way in WAYS)
    goal = Goal("towpath/chained, until all are everywhere, at p50", RATIO_GOAL, towpath / chained, "x")
    print(f"{number} at once, Karmada's client limits: {options.qps.value}")
    print(table(rows, "s", 1.0))
    for name, burst in last_burst.items():
        print(f"CPU, {name}: {busiest(burst.used)}\nwrites, {name}: {most_written(burst.writes)}")
    print(f"towpath/twin, until all are everywhere, at p50: {towpath / twin:.2f}x", goal, sep="\n")
    last_bursts = {name: burst._asdict() for name, burst in last_burst.items()}
    return {**document, "summary": rows, "last": last_bursts, "goals": [goal.dump()]}


def main() -> int:
    """Run; returns the exit code, which is 0 also when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.burst", description=__doc__)
    parser.add_argument("--number", type=int, default=200, help="exports at once")
    options, given = main_of(parser, rounds=3)
    return finish(options, lambda say: measure(options, given.number, say))


if __name__ == "__main__":
    sys.exit(main())

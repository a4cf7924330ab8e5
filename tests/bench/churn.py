"""How many changes a second reach every member, and which component is the limit.

    make bench BENCH=churn [OUT=file.json] [ARGS="--number 30 --seconds 20 --qps default"]

So many exports change as fast as they can: each gets a new path, waits until every member imports it under
that path, and changes again. Next to it as many chains of ConfigMaps (``ways``) do the same, in which this
process writes what follows from a change, without waiting or thinking, and as many twins, which is the same
with digests that members report. All in turn, in every round.

"CPU" is what each process used meanwhile, as the share of one core: the busiest is the limit, or Karmada's
client limits if none is busy. "Writes" are those of each program on Karmada's apiserver, for each change.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.bench import wares
from tests.bench.plane import Say, plane
from tests.bench.report import Goal, machine, summary, table
from tests.bench.running import Options, Written, busiest, finish, main_of, most_written, usage
from tests.bench.wares import EXPORTERS, EXPORTS, IMPORTS
from tests.bench.ways import (
    CHAINED,
    TOWPATH,
    TWIN,
    Stage,
    chained_right,
    derived_name,
    follow_chained,
    follow_twin,
    imports_right,
    staged,
)
from towpath.karmada import resources
from towpath.local.spec import PLUGIN

RATIO_GOAL = 1.25
PATIENCE = 600.0

Change = Callable[[Stage, str, str], Awaitable[object]]
"""Gives something another path, and returns when all members have it."""


async def _change_chained(stage: Stage, name: str, own: str) -> None:
    await follow_chained(stage, name, own, EXPORTERS)
    await stage.right(resources.CONFIG_MAPS, derived_name(name), chained_right(own))


async def _change_twin(stage: Stage, name: str, own: str) -> None:
    await follow_twin(stage, name, own, EXPORTERS)
    await stage.right(IMPORTS, derived_name(name), imports_right(own))


async def _change_export(stage: Stage, name: str, own: str) -> None:
    await stage.plane.apply(EXPORTS, wares.export(name, own))
    await stage.right(IMPORTS, name, imports_right(own))


KINDS = {CHAINED: _change_chained, TWIN: _change_twin, TOWPATH: _change_export}


@dataclass(frozen=True)
class Churned:
    """Changes a second, CPU of each process, and the writes for each change by program and kind."""

    rate: float
    used: Mapping[str, float]
    writes: Mapping[str, float]

    def __str__(self) -> str:
        return f"  CPU: {busiest(self.used)}\n  writes: {most_written(self.writes)}"


async def _churn(stage: Stage, change: Change, names: Sequence[str], seconds: float) -> Churned:
    before, started = usage(stage.plane.env), time.monotonic()
    written = Written(stage.plane.audit)
    done: list[str] = []

    async def write_changes(name: str) -> None:
        for number in itertools.count():
            if time.monotonic() > started + seconds:
                return
            await change(stage, name, f"/bench/{name}/{number}")
            done.append(name)

    await asyncio.gather(*map(write_changes, names))
    took, after = time.monotonic() - started, usage(stage.plane.env)
    return Churned(
        len(done) / took,
        {name: (after[name] - before.get(name, 0.0)) / took for name in after},
        written.each(len(done)),
    )


async def measure(options: Options, number: int, seconds: float, say: Say) -> dict[str, Any]:
    """Boot a plane, and measure all rounds on it."""
    document: dict[str, Any] = {"bench": "churn", "machine": machine(), "number": number}
    rates: dict[str, list[float]] = {way.name: [] for way in KINDS}
    last: dict[str, Churned] = {}
    async with plane(options.qps, say) as booted, staged(booted, PATIENCE) as stage:
        for round_, (way, change) in itertools.product(range(options.rounds), KINDS.items()):
            names = [f"{way.name}-{round_:02}-{n:03}" for n in range(number)]
            await asyncio.gather(*(way.prepare(stage, name) for name in names))
            await asyncio.gather(*(way.carry(stage, name) for name in names))
            churned = last[way.name] = await _churn(stage, change, names, seconds)
            await way.clear(stage, *names)
            rates[way.name].append(churned.rate)
            say(f"round {round_ + 1}  {way.name}: {churned.rate:.1f} changes/s")
    rows = {f"{name}, changes/s": summary(of_way) for name, of_way in rates.items()}
    chained, twin, towpath = (rows[f"{way.name}, changes/s"]["p50"] for way in KINDS)
    goal = Goal("chained/towpath, changes a second", RATIO_GOAL, chained / towpath, "x")
    print(f"{number} at once, Karmada's client limits: {options.qps.value}")
    print(table(rows, "", 1.0))
    for name, churned in last.items():
        print(name, churned, sep="\n")
    used = last[TOWPATH.name].used
    print(
        f"the plugin uses {used.get(PLUGIN, 0.0):.2f} of a core; busiest is {max(used, key=used.__getitem__)}"
    )
    print(f"twin/towpath, changes a second: {twin / towpath:.2f}x", goal, sep="\n")
    return {
        **document,
        "summary": rows,
        "last": {n: asdict(row) for n, row in last.items()},
        "goals": [goal.dump()],
    }


def main() -> int:
    """Run; returns the exit code, which is 0 also when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.churn", description=__doc__)
    parser.add_argument("--number", type=int, default=30, help="exports that change at the same time")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each measurement")
    options, given = main_of(parser, rounds=3)
    return finish(options, lambda say: measure(options, given.number, given.seconds, say))


if __name__ == "__main__":
    sys.exit(main())

"""What a start costs among many exports on a real Karmada: when nothing is derived yet, and when all is.

    make bench BENCH=coldstart [OUT=file.json] [ARGS="--number 1000"]

So many Services, in two of three members, and their exports, in all three, are bound before the plugin
starts. Times are from the start of its process.

cold      "listed": it has read the world. "written": every ServiceImport is on Karmada. "everywhere": every
          member holds what it must, for which Karmada has to carry it all.
restart   "listed", and "done": nothing is due any more. Then it rests for a while. Writes are those of the
          plugin's user in the audit log, and there may be none.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench import wares
from tests.bench.plane import MEMBERS, Plane, Say, Watch, everywhere, plane, running
from tests.bench.process import Plugin, plugin
from tests.bench.report import Goal, machine
from tests.bench.running import Options, finish, main_of
from tests.bench.wares import EXPORTERS, EXPORTS, IMPORTS
from tests.bench.ways import Stage, imports_right, path, staged
from tests.support.audit import PLUGIN_USER, Write
from towpath.karmada import resources
from towpath.local import processes
from towpath.local.spec import PLUGIN

IN_SYNC_GOAL = 10.0
WRITES_GOAL = 4.5
AT_ONCE = 25
"""Objects that are applied at the same time: more would wait for the apiserver in vain."""
PATIENCE = 1800.0
REST = 3.0


async def _export_all(stage: Stage, names: Sequence[str]) -> None:
    """Bring the Services and exports to where they belong: one policy for all of a kind."""
    for kind, members, made in ((resources.SERVICES, EXPORTERS, wares.service), (EXPORTS, MEMBERS, _export)):
        objects = [made(name) for name in names]
        policy = wares.policy(kind.plural, objects[0], members)
        del policy["spec"]["resourceSelectors"][0]["name"]
        await stage.plane.apply(resources.PROPAGATION_POLICIES, policy)
        for start in range(0, len(objects), AT_ONCE):
            await asyncio.gather(*(stage.plane.apply(kind, obj) for obj in objects[start : start + AT_ONCE]))
        right = dict.fromkeys(members, wares.present)
        await asyncio.gather(*(stage.right(kind, name, right) for name in names))


def _export(name: str) -> dict[str, Any]:
    return wares.export(name, path(name))


def _writes(plane: Plane) -> list[Write]:
    return plane.audit.writes(user=PLUGIN_USER)


async def _cold(stage: Stage, started: Plugin, names: Sequence[str], before: int) -> dict[str, Any]:
    listed = await started.took(started.is_ready, bool)
    karmada = Watch(stage.plane.karmada, IMPORTS)
    async with running([karmada]):
        there = {"Karmada": wares.present}
        await asyncio.gather(*(everywhere({"Karmada": karmada}, name, there, PATIENCE) for name in names))
        written = time.perf_counter() - started.began
    await asyncio.gather(*(stage.right(IMPORTS, name, imports_right(path(name))) for name in names))
    arrived = time.perf_counter() - started.began
    await started.took(started.due, lambda due: due == 0)
    await asyncio.sleep(REST)
    kinds = Counter(write.kind for write in _writes(stage.plane)[before:])
    return {"listed": listed, "written": written, "everywhere": arrived, "writes": kinds, **started.cost()}


async def _again(stage: Stage, started: Plugin) -> dict[str, Any]:
    before = len(_writes(stage.plane))
    listed = await started.took(started.is_ready, bool)
    done = await started.took(started.due, lambda due: due == 0)
    await asyncio.sleep(REST)
    writes = len(_writes(stage.plane)) - before
    return {"listed": listed, "done": done, "writes": writes, **started.cost()}


async def measure(options: Options, number: int, say: Say) -> dict[str, Any]:
    """Boot a plane, export everything, and start the plugin twice."""
    document: dict[str, Any] = {"bench": "coldstart", "machine": machine(), "number": number}
    names = [f"cold-{n:04}" for n in range(number)]
    with tempfile.TemporaryDirectory(prefix="towpath-bench-") as folder:
        async with plane(options.qps, say) as booted, staged(booted, PATIENCE) as stage:
            processes.stop(booted.env, PLUGIN)
            await _export_all(stage, names)
            before = len(_writes(booted))
            say(f"{number} exports and their Services are bound")
            async with plugin(booted.env.plugin, Path(folder)) as started:
                document["cold"] = cold = await _cold(stage, started, names, before)
            async with plugin(booted.env.plugin, Path(folder)) as started:
                document["restart"] = again = await _again(stage, started)
    an_export = sum(cold["writes"].values()) / number
    goals = [
        Goal("writes of a cold start, an export", WRITES_GOAL, an_export),
        Goal("restart, until nothing is due", IN_SYNC_GOAL, again["done"], " s"),
        Goal("writes of a restart", 0, again["writes"]),
    ]
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(cold["writes"].items()))
    print(
        f"{number} exports, Karmada's client limits: {options.qps.value}\n"
        f"cold     listed {cold['listed']:.1f} s, written {cold['written']:.1f} s, "
        f"everywhere {cold['everywhere']:.1f} s; {_used(cold)}\n"
        f"         writes: {kinds}\n"
        f"restart  listed {again['listed']:.1f} s, done {again['done']:.1f} s; {_used(again)}",
        *goals,
        sep="\n",
    )
    return {**document, "goals": [goal.dump() for goal in goals]}


def _used(cost: dict[str, Any]) -> str:
    return (
        f"CPU {cost['cpu']:.1f} s, RSS {cost['rss']:.0f} MiB, peak {cost['peak']:.0f} MiB, "
        f"longest wait {cost['longest'] * 1000:.0f} ms"
    )


def main() -> int:
    """Run; returns the exit code, which is 0 also when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.coldstart", description=__doc__)
    parser.add_argument("--number", type=int, default=1000, help="exports")
    options, given = main_of(parser)
    return finish(options, lambda say: measure(options, given.number, say))


if __name__ == "__main__":
    sys.exit(main())

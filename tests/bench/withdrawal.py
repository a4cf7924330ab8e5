"""How long it takes until members lose what is withdrawn, next to the same done with plain objects.

    make bench BENCH=withdrawal [OUT=file.json] [ARGS="--rounds 20 --qps default"]

delete    An export is deleted; ends when no member has the import any more. Next to it: the first object of
          a chain or a twin (``ways``), which owns the second, is deleted, until no member has the second.
drain     An exporting cluster is drained by the annotation on the export, of a service in all three members;
          ends when no member has its endpoint. Next to it: the objects of a chain or a twin and the override
          between them are changed to what follows, by this process and without waiting for anything.

The clock starts before the first write; the plane idles before each.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tests.bench.plane import MEMBERS, NAMESPACE, Say, plane
from tests.bench.report import Goal, machine, summary, table
from tests.bench.running import Options, finish, main_of
from tests.bench.wares import EXPORTS, IMPORTS
from tests.bench.ways import (
    CHAINED,
    TOWPATH,
    TWIN,
    Stage,
    carry_chained,
    carry_twin,
    chained_right,
    derived_name,
    follow_chained,
    follow_twin,
    imports_right,
    path,
    put_export,
    put_service,
    staged,
)
from towpath.karmada import resources
from towpath.karmada.client import MERGE
from towpath.model.cluster import DRAIN_ANNOTATION

RATIO_GOAL = 1.1
SETTLE = 2.0
DRAINED, *REST = MEMBERS

Timed = Callable[[], Awaitable[float]]
"""Does it, and returns the moment at which the members followed."""


async def _delete_chained(stage: Stage, name: str) -> Timed:
    await CHAINED.carry(stage, name)

    async def act() -> float:
        await stage.plane.karmada.delete(resources.CONFIG_MAPS, name, NAMESPACE)
        return await stage.absent(resources.CONFIG_MAPS, derived_name(name))

    return act


async def _delete_twin(stage: Stage, name: str) -> Timed:
    await TWIN.carry(stage, name)

    async def act() -> float:
        await stage.plane.karmada.delete(EXPORTS, name, NAMESPACE)
        return await stage.absent(IMPORTS, derived_name(name))

    return act


async def _delete_export(stage: Stage, name: str) -> Timed:
    await TOWPATH.prepare(stage, name)
    await TOWPATH.carry(stage, name)

    async def act() -> float:
        await stage.plane.karmada.delete(EXPORTS, name, NAMESPACE)
        return await stage.absent(IMPORTS, name)

    return act


async def _drain_chained(stage: Stage, name: str) -> Timed:
    await carry_chained(stage, name, MEMBERS)

    async def act() -> float:
        await follow_chained(stage, name, path(name), REST)
        return await stage.right(resources.CONFIG_MAPS, derived_name(name), chained_right(path(name), REST))

    return act


async def _drain_twin(stage: Stage, name: str) -> Timed:
    await carry_twin(stage, name, MEMBERS)

    async def act() -> float:
        await follow_twin(stage, name, path(name), REST)
        return await stage.right(IMPORTS, derived_name(name), imports_right(path(name), REST))

    return act


async def _drain_export(stage: Stage, name: str) -> Timed:
    await put_service(stage, name, MEMBERS)
    await put_export(stage, name)
    await stage.right(IMPORTS, name, imports_right(path(name), MEMBERS))

    async def act() -> float:
        drained = {"metadata": {"annotations": {DRAIN_ANNOTATION: DRAINED}}}
        where = EXPORTS.path(NAMESPACE, name)
        await stage.plane.karmada.request("PATCH", where, body=drained, content_type=MERGE)
        return await stage.right(IMPORTS, name, imports_right(path(name), REST))

    return act


KINDS = {
    "chained, delete": (CHAINED, _delete_chained),
    "twin, delete": (TWIN, _delete_twin),
    "towpath, delete": (TOWPATH, _delete_export),
    "chained, drain": (CHAINED, _drain_chained),
    "twin, drain": (TWIN, _drain_twin),
    "towpath, drain": (TOWPATH, _drain_export),
}


async def measure(options: Options, say: Say) -> dict[str, Any]:
    """Boot a plane, and measure all rounds on it."""
    document: dict[str, Any] = {"bench": "withdrawal", "machine": machine()}
    samples: dict[str, list[float]] = {name: [] for name in KINDS}
    async with plane(options.qps, say) as booted, staged(booted) as stage:
        for round_ in range(options.rounds + 1):
            for number, (kind, (way, prepare)) in enumerate(KINDS.items()):
                name = f"{way.name}-{round_:03}-{number}"
                act = await prepare(stage, name)
                await asyncio.sleep(SETTLE)
                started = time.monotonic()
                seconds = await act() - started
                await way.clear(stage, name)
                if round_:
                    samples[kind].append(seconds)
                say(f"round {round_}  {kind} {seconds:.3f} s{'' if round_ else '  (warm-up)'}")
    rows = {name: summary(of_kind) for name, of_kind in samples.items()}
    goals = [
        Goal(
            f"towpath/chained, {action}, at p50",
            RATIO_GOAL,
            rows[f"towpath, {action}"]["p50"] / rows[f"chained, {action}"]["p50"],
            "x",
        )
        for action in ("delete", "drain")
    ]
    print(f"Karmada's client limits: {options.qps.value}")
    twins = (
        f"towpath/twin, {kind}, at p50: {rows[f'towpath, {kind}']['p50'] / rows[f'twin, {kind}']['p50']:.2f}x"
        for kind in ("delete", "drain")
    )
    print(table(rows), *twins, *goals, sep="\n")
    return {**document, "summary": rows, "samples": samples, "goals": [goal.dump() for goal in goals]}


def main() -> int:
    """Run; returns the exit code, which is 0 also when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.withdrawal", description=__doc__)
    options, _ = main_of(parser, rounds=20)
    return finish(options, lambda say: measure(options, say))


if __name__ == "__main__":
    sys.exit(main())

"""How long a cluster that is drained stays in the imports of members while exports change, next to Karmada.

    make bench BENCH=draining [OUT=file.json] [ARGS="--services 10 --changed 10 --rate 3 --rounds 10"]

So many services are exported by all three members, and so many others are changed at a steady rate all the
while: each change gives one of them another path, which reaches every member before its next change. In every
round, one after the other:

drain, undrain    The annotation of a Karmada Cluster is set, until no member holds an endpoint of it in any
                  of the services; and removed, until every member holds all endpoints again.
chained           What follows from that is written by this process, and not by Towpath: of as many chains of
                  ConfigMaps (``ways``) the second one and its override change at once, until every member
                  holds its own content. The floor, under the same load.

The clock starts before the first write, and ends with what the members' own watches show. A busy machine
makes both longer. So the median has to be at most two seconds, or else a multiple of the floor's.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tests.bench import wares
from tests.bench.plane import MEMBERS, NAMESPACE, Say, plane
from tests.bench.report import Goal, machine, summary, table
from tests.bench.running import Options, finish, main_of
from tests.bench.wares import EXPORTERS, EXPORTS, IMPORTS
from tests.bench.ways import (
    CHAINED,
    TOWPATH,
    Stage,
    carry_chained,
    chained_objects,
    chained_right,
    derived_name,
    imports_right,
    path,
    put_export,
    put_service,
    staged,
)
from towpath.karmada import resources
from towpath.karmada.client import MERGE, Resource
from towpath.model.cluster import DRAIN_ANNOTATION

LIMIT_SECONDS = 2.0
RATIO_GOAL = 1.5
SETTLE = 1.0
PATIENCE = 300.0
[DRAINED] = set(MEMBERS) - set(EXPORTERS)
"""The others export what changes meanwhile."""

Act = Callable[[Stage, Sequence[str], Sequence[str]], Awaitable[object]]
"""Lets these clusters export these services, and returns when every member follows."""


async def _annotate(stage: Stage, names: Sequence[str], exporters: Sequence[str]) -> None:
    """Drain the cluster that does not export, or the other way round."""
    value = None if DRAINED in exporters else "true"
    body = {"metadata": {"annotations": {DRAIN_ANNOTATION: value}}}
    where = resources.CLUSTERS.path("", DRAINED)
    await stage.plane.karmada.request("PATCH", where, body=body, content_type=MERGE)
    await asyncio.gather(
        *(stage.right(IMPORTS, name, imports_right(path(name), exporters)) for name in names)
    )


async def _write(stage: Stage, names: Sequence[str], exporters: Sequence[str]) -> None:
    """Write what follows for chains."""

    async def patch(resource: Resource, name: str, **body: Any) -> None:
        where = resource.path(NAMESPACE, derived_name(name))
        await stage.plane.karmada.request("PATCH", where, body=body, content_type=MERGE)

    async def follow(name: str) -> None:
        second, overrides = chained_objects(name, path(name), exporters)
        await asyncio.gather(
            patch(resources.OVERRIDE_POLICIES, name, spec=overrides["spec"]),
            patch(resources.CONFIG_MAPS, name, data=second["data"]),
        )
        right = chained_right(path(name), exporters)
        await stage.right(resources.CONFIG_MAPS, derived_name(name), right)

    await asyncio.gather(*map(follow, names))


async def _put(stage: Stage, name: str) -> None:
    await put_service(stage, name, MEMBERS)
    await put_export(stage, name)
    await stage.right(IMPORTS, name, imports_right(path(name), MEMBERS))


@asynccontextmanager
async def changing(stage: Stage, names: Sequence[str], rate: float) -> AsyncIterator[Counter[str]]:
    """Change exports at a rate; yields how often each change has reached every member.

    An export changes again when its last change has arrived, so a slow machine is not flooded.
    """
    changed: Counter[str] = Counter()
    period = len(names) / rate

    async def change(name: str, first: float) -> None:
        for number in itertools.count():
            await asyncio.sleep(first + number * period - time.monotonic())
            own = f"{path(name)}/{number}"
            await stage.plane.apply(EXPORTS, wares.export(name, own))
            await stage.right(IMPORTS, name, imports_right(own))
            changed[name] += 1

    now = time.monotonic()
    try:
        async with asyncio.TaskGroup() as tasks:
            started = [tasks.create_task(change(name, now + n / rate)) for n, name in enumerate(names)]
            yield changed
            for task in started:
                task.cancel()
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


async def measure(options: Options, given: argparse.Namespace, say: Say) -> dict[str, Any]:
    """Boot a plane, and measure all rounds on it."""
    document: dict[str, Any] = {"bench": "draining", "machine": machine(), **vars(given)}
    services, chains, others = (
        [f"{kind}-{number:03}" for number in range(count)]
        for kind, count in (
            (TOWPATH.name, given.services),
            (CHAINED.name, given.services),
            ("other", given.changed),
        )
    )
    acts: dict[str, tuple[Act, Sequence[str], Sequence[str]]] = {
        "drain": (_annotate, services, EXPORTERS),
        "chained, drain": (_write, chains, EXPORTERS),
        "undrain": (_annotate, services, MEMBERS),
        "chained, undrain": (_write, chains, MEMBERS),
    }
    samples: dict[str, list[float]] = {name: [] for name in acts}
    async with plane(options.qps, say) as booted, staged(booted, PATIENCE) as stage:
        await asyncio.gather(*(TOWPATH.prepare(stage, name) for name in others))
        await asyncio.gather(*(TOWPATH.carry(stage, name) for name in others))
        await asyncio.gather(*(carry_chained(stage, name, MEMBERS) for name in chains))
        await asyncio.gather(*(_put(stage, name) for name in services))
        async with changing(stage, others, given.rate) as changed:
            began = time.monotonic()
            for round_ in range(options.rounds + 1):
                for kind, (act, names, exporters) in acts.items():
                    await asyncio.sleep(SETTLE)
                    started = time.monotonic()
                    await act(stage, names, exporters)
                    samples[kind].append(time.monotonic() - started)
                times = "  ".join(f"{kind} {took[-1]:.3f} s" for kind, took in samples.items())
                say(f"round {round_}  {times}{'' if round_ else '  (warm-up)'}")
            changes = changed.total() / (time.monotonic() - began)
    measured = {kind: took[1:] for kind, took in samples.items()}
    rows = {kind: summary(took) for kind, took in measured.items()}
    goals = [_judged(action, rows) for action in ("drain", "undrain")]
    print(
        f"{given.services} services, {changes:.1f} other changes a second, client limits {options.qps.value}"
    )
    print(table(rows), *goals, sep="\n")
    return {**document, "summary": rows, "samples": samples, "goals": [goal.dump() for goal in goals]}


def _judged(action: str, rows: dict[str, dict[str, float]]) -> Goal:
    """Return the goal of one action: the median, by what Karmada itself needed."""
    floor = rows[f"chained, {action}"]["p50"]
    limit = max(LIMIT_SECONDS, RATIO_GOAL * floor)
    taken = rows[action]["p50"]
    return Goal(f"{action}, every member, at p50 ({taken / floor:.2f} x chained)", limit, taken, " s")


def main() -> int:
    """Run; returns the exit code, which is 0 also when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.draining", description=__doc__)
    parser.add_argument("--services", type=int, default=10, help="services that all members export")
    parser.add_argument("--changed", type=int, default=10, help="exports that change meanwhile")
    parser.add_argument("--rate", type=float, default=3.0, help="changes a second")
    options, given = main_of(parser, rounds=10)
    given.qps, given.out = given.qps.value, str(given.out)
    return finish(options, lambda say: measure(options, given, say))


if __name__ == "__main__":
    sys.exit(main())

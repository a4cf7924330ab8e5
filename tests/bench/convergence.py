"""How long from a ServiceExport to the right ServiceImport in every member, next to what cannot be beaten.

    make bench BENCH=convergence [OUT=file.json] [ARGS="--rounds 10 --qps high"]

Four ways are timed on an otherwise idle plane, one after the other in every round, so that a machine that
gets slower or faster does so for all of them: single, chained, twin and towpath, of which ``ways`` tells. The
clock starts before the first write. After each measurement everything is deleted and gone, in Karmada and in
the members, and the plane then idles for the settling time before the next: Karmada's client limits are token
buckets, and a round must find them full. (With default limits and 0.2 s in place of 3 s everything takes four
times as long, for single as for towpath.)

The plugin's own share is the time from the last report of the export's binding before the plugin's first
write for that service until its last one was answered, by the audit log of Karmada's apiserver. "Thinking" is
that without the time in which the apiserver was busy with the plugin's writes. The twin's is this process's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.plane import NAMESPACE, Plane, Say, plane
from tests.bench.report import Goal, machine, machine_line, summary, table
from tests.bench.share import share
from tests.bench.ways import CHAINED, SINGLE, TOWPATH, TWIN, Stage, Way, derived_name, staged
from towpath.cli.running import run
from towpath.errors import TowpathError
from towpath.local.spec import PLUGIN, Qps

WARM_UP = 3
SETTLE = {Qps.DEFAULT: 3.0, Qps.HIGH: 1.0}
SHARE_GOAL, RATIO_GOAL = 0.025, 1.15
BENCH = "towpath-bench"
"""This process's user agent in the audit log."""
WAYS = (SINGLE, CHAINED, TWIN, TOWPATH)


async def timed(stage: Stage, way: Way, name: str, settle: float) -> float:
    """Return the seconds from the first write until all members hold the right import."""
    await way.prepare(stage, name)
    await asyncio.sleep(settle)
    started = time.monotonic()
    arrived = await way.carry(stage, name)
    await way.clear(stage, name)
    return arrived - started


def _shares(plane: Plane, numbers: Sequence[int]) -> dict[str, list[float]]:
    """Return the share of the plugin, and of this process in its place, for each round."""
    writes = plane.audit.writes(namespace=NAMESPACE)
    own, floor = [], []
    for number in numbers:
        service, export = _name(TOWPATH, number), _name(TWIN, number)
        own.append(share(writes, f"{service}-serviceexport", PLUGIN, {service, f"towpath-import-{service}"}))
        floor.append(share(writes, f"{export}-serviceexport", BENCH, {derived_name(export)}))
    return {
        "own share": [s.seconds for s in own],
        "own thinking": [s.thinking for s in own],
        "twin's share": [s.seconds for s in floor],
        "twin's thinking": [s.thinking for s in floor],
        "own writes": [s.writes for s in own],
    }


# One environment after the other


def _name(way: Way, number: int) -> str:
    return f"{way.name}-{number:04}"


@dataclass(frozen=True)
class Options:
    """The options of the command line."""

    qps: Sequence[Qps]
    rounds: int
    settle: float | None
    out: Path | None


async def _environment(qps: Qps, options: Options, say: Say) -> dict[str, Any]:
    """Boot, measure and take down one environment: returns everything measured."""
    settle = SETTLE[qps] if options.settle is None else options.settle
    samples: dict[str, list[float]] = {way.name: [] for way in WAYS}
    numbers = range(1, WARM_UP + options.rounds + 1)
    load = os.getloadavg()[0]
    async with plane(qps, say) as booted:
        async with staged(booted) as stage:
            for number in numbers:
                seconds = [await timed(stage, way, _name(way, number), settle) for way in WAYS]
                for way, of_way in zip(WAYS, seconds, strict=True):
                    samples[way.name].append(of_way)
                times = "  ".join(f"{way.name} {s:.3f} s" for way, s in zip(WAYS, seconds, strict=True))
                say(f"round {number} of {len(numbers)}  {times}{'  (warm-up)' if number <= WARM_UP else ''}")
        samples |= _shares(booted, numbers)
    measured = {name: of_kind[WARM_UP:] for name, of_kind in samples.items()}
    return {
        "settle": settle,
        "load": [round(load, 2), round(os.getloadavg()[0], 2)],
        **_judged(measured),
        "samples": measured,
        "warm_up": {name: of_kind[:WARM_UP] for name, of_kind in samples.items()},
    }


def _judged(measured: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Return summaries, ratios and goals."""
    rows = {name: summary(samples) for name, samples in measured.items() if name != "own writes"}
    ratios = {
        f"towpath/{floor.name} {p}": rows["towpath"][p] / rows[floor.name][p]
        for floor in (SINGLE, CHAINED, TWIN)
        for p in ("p50", "p99")
    }
    goals = [
        Goal("towpath/chained at p50", RATIO_GOAL, ratios["towpath/chained p50"]),
        Goal("own share at p50", SHARE_GOAL * 1000, rows["own share"]["p50"] * 1000, " ms"),
    ]
    return {"summary": rows, "ratios": ratios, "goals": [goal.dump() for goal in goals]}


def _report(qps: str, result: Mapping[str, Any]) -> str:
    before, after = result["load"]
    head = (
        f"Karmada's client limits: {qps}; {result['settle']:g} s idle before each; load {before} to {after}"
    )
    ratios = "\n".join(f"{name} {value:.2f}" for name, value in result["ratios"].items())
    goals = (str(Goal(g["name"], g["limit"], g["measured"], g["unit"])) for g in result["goals"])
    return "\n".join(("", head, table(result["summary"]), ratios, *(f"goal: {goal}" for goal in goals)))


async def _measure(options: Options, say: Say) -> dict[str, Any]:
    document: dict[str, Any] = {"bench": "convergence", "machine": machine(), "environments": {}}
    for qps in options.qps:
        result = document["environments"][qps.value] = await _environment(qps, options, say)
        print(_report(qps.value, result), flush=True)
    return document


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.convergence", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--out", type=Path, help="write everything measured to this file, as JSON")
    parser.add_argument("--qps", type=Qps, action="append", help="only with these limits (default, high)")
    parser.add_argument("--rounds", type=int, default=30, help=f"measured rounds, after {WARM_UP} warm-ups")
    parser.add_argument("--settle", type=float, help="seconds idle before each measurement")
    given = parser.parse_args()
    if given.rounds < 1:
        parser.error("--rounds must be at least 1")
    return Options(given.qps or list(Qps), given.rounds, given.settle, given.out)


def main() -> int:
    """Run; returns the exit code, which is 0 also when a goal is missed."""
    options = _options()
    try:
        document = run(_measure(options, lambda line: print(line, file=sys.stderr, flush=True)))
    except KeyboardInterrupt:
        return 130
    except TowpathError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.out:
        options.out.write_text(json.dumps(document, indent=1) + "\n")
    print(f"\n{machine_line(document['machine'])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How long from a ServiceExport to the right ServiceImport in every member, next to what cannot be beaten.

    make bench BENCH=convergence [OUT=file.json] [ARGS="--rounds 10 --qps high"]

Four things are timed on an otherwise idle plane, one after the other in every round, so that a machine
that gets slower or faster does so for all of them. Each starts with the same two writes, a
PropagationPolicy to three members and then its template, and the clock starts before the first:

single    A ConfigMap is in all three members. The floor of anything that Karmada carries once.
chained   As soon as the ConfigMap's binding is scheduled, this process writes what the plugin would:
          an OverridePolicy with one rule for each of two members and a PropagationPolicy, side by side,
          then a second ConfigMap as large as a ServiceImport. It ends when every member holds that with
          its own content. The floor of any plugin that derives from Karmada's bindings: the same
          objects in the same order, through the same client, and no thinking.
twin      The same chain, but of a ServiceExport and a ServiceImport, written by this process: what of the
          difference between chained and towpath is the kinds' and not the plugin's. There is no Service,
          so the plugin has nothing to write.
towpath   A ServiceExport whose Service has been in two of the members before; ends when every member
          holds the right ServiceImport: those two without themselves, the third with both.

The end is seen by watches on the members' own apiservers. After each measurement everything is deleted
and gone, in Karmada and in the members, and the plane then idles for the settling time before the next:
Karmada's client limits are token buckets, and a round must find them full. (With default limits and 0.2 s
in place of 3 s everything takes four times as long, for single as for towpath.)

The plugin's own share is the time from the scheduler's write of the export's binding until the plugin's
last write for that service was answered, by the audit log of Karmada's apiserver. "Thinking" is that
without the time in which the apiserver was busy with the plugin's writes. The twin's is this process's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import wares
from tests.bench.plane import (
    CONFIG_MAPS,
    MEMBERS,
    NAMESPACE,
    Plane,
    Right,
    Say,
    Watch,
    everywhere,
    plane,
    running,
)
from tests.bench.report import Goal, machine, machine_line, summary, table
from tests.bench.share import share
from tests.bench.wares import DATA, EVERYTHING, EXPORTERS, EXPORTS, IMPORTS, PORTS
from towpath.cli.running import run
from towpath.errors import TowpathError
from towpath.karmada import resources
from towpath.karmada.client import Object, Resource
from towpath.local.spec import PLUGIN, Qps

WARM_UP = 3
SETTLE = {Qps.DEFAULT: 3.0, Qps.HIGH: 1.0}
SHARE_GOAL, RATIO_GOAL = 0.025, 1.15
BENCH = "towpath-bench"
"""This process's user agent in the audit log."""
SEEN = (CONFIG_MAPS, resources.SERVICES, EXPORTS, IMPORTS)
POLICIES = (resources.PROPAGATION_POLICIES, resources.OVERRIDE_POLICIES)


# The three things that are timed


@dataclass(frozen=True)
class Stage:
    """A plane with all watches open."""

    plane: Plane
    bindings: Watch
    members: Mapping[Resource, Mapping[str, Watch]]
    settle: float

    async def timed(
        self, resource: Resource, name: str, right: Mapping[str, Right], act: Callable[[], Awaitable[None]]
    ) -> float:
        """Return the seconds from the beginning of ``act`` until all members hold what they must."""
        await asyncio.sleep(self.settle)
        started = time.monotonic()
        arrived, _ = await asyncio.gather(everywhere(self.members[resource], name, right), act())
        return arrived - started

    async def put(self, resource: Resource, policy: Object, obj: Object) -> None:
        """Apply a policy, then the template that it selects."""
        await self.plane.apply(resources.PROPAGATION_POLICIES, policy)
        await self.plane.apply(resource, obj)

    async def clear(self, name: str, *put: tuple[Resource, str]) -> None:
        """Delete templates called ``name``, each with its policy, until nothing is left anywhere.

        What was derived goes with the first of them, which owns it.
        """
        for resource, policy in put:
            await self.plane.karmada.delete(resource, name, NAMESPACE)
            await everywhere(self.members[resource], name, dict.fromkeys(MEMBERS, wares.absent))
            await self.plane.karmada.delete(resources.PROPAGATION_POLICIES, policy, NAMESPACE)
        await self.plane.gone(name, *SEEN, *POLICIES, resources.BINDINGS)
        for watches in self.members.values():
            for derived in (name, _derived(name)):
                await everywhere(watches, derived, dict.fromkeys(MEMBERS, wares.absent))


def _derived(name: str) -> str:
    return f"{name}-import"


async def single(stage: Stage, name: str) -> float:
    """Time one ConfigMap to all members."""
    obj = wares.config_map(name)
    seconds = await stage.timed(
        CONFIG_MAPS,
        name,
        dict.fromkeys(MEMBERS, wares.holds(EVERYTHING)),
        lambda: stage.put(CONFIG_MAPS, wares.policy(name, obj), obj),
    )
    await stage.clear(name, (CONFIG_MAPS, name))
    return seconds


async def chained(stage: Stage, name: str) -> float:
    """Time a ConfigMap, and a second one that is written once the first is scheduled, to all members."""
    right = {member: wares.holds(data) for member, data in DATA.items()}
    values = {member: DATA[member] for member in EXPORTERS}
    objects = wares.config_map(name), wares.config_map(_derived(name))
    seconds = await _chain(stage, CONFIG_MAPS, CONFIG_MAPS, objects, "/data/ports", values, right)
    await stage.clear(name, (CONFIG_MAPS, name))
    return seconds


async def twin(stage: Stage, name: str) -> float:
    """Time the same chain of ServiceExport and ServiceImport; without a Service the plugin writes nothing."""
    right = {member: wares.imports(ports) for member, ports in PORTS.items()}
    values = {member: PORTS[member] for member in EXPORTERS}
    objects = wares.export(name), wares.service_import(_derived(name))
    seconds = await _chain(stage, EXPORTS, IMPORTS, objects, "/spec/ports", values, right)
    await stage.clear(name, (EXPORTS, name))
    return seconds


async def _chain(
    stage: Stage,
    kind: Resource,
    derived: Resource,
    objects: tuple[Object, Object],
    path: str,
    values: Mapping[str, Any],
    right: Mapping[str, Right],
) -> float:
    """Time a template, and a second one that is written when the first is scheduled, to all members."""
    first, second = objects
    name, second_name = first["metadata"]["name"], second["metadata"]["name"]
    policies = (
        (resources.OVERRIDE_POLICIES, wares.overrides(second_name, second, path, values)),
        (resources.PROPAGATION_POLICIES, wares.policy(second_name, second)),
    )

    async def act() -> None:
        await stage.put(kind, wares.policy(name, first), first)
        binding = f"{name}-{kind.kind.lower()}"
        await everywhere({"Karmada": stage.bindings}, binding, {"Karmada": wares.scheduled})
        owner = (stage.bindings.get(binding) or {})["spec"]["resource"]
        reference = {key: owner[key] for key in ("apiVersion", "kind", "name", "uid")}
        for obj in (second, *(policy for _, policy in policies)):
            obj["metadata"]["ownerReferences"] = [reference]
        await asyncio.gather(*(stage.plane.apply(*policy) for policy in policies))
        await stage.plane.apply(derived, second)

    return await stage.timed(derived, second_name, right, act)


async def towpath(stage: Stage, name: str) -> float:
    """Time a ServiceExport, of a Service that is in two members, to the ServiceImport in all members."""
    service, export = wares.service(name), wares.export(name)
    await stage.put(resources.SERVICES, wares.policy(f"{name}-service", service, EXPORTERS), service)
    await everywhere(stage.members[resources.SERVICES], name, dict.fromkeys(EXPORTERS, wares.present))
    seconds = await stage.timed(
        IMPORTS,
        name,
        {member: wares.imports(ports) for member, ports in PORTS.items()},
        lambda: stage.put(EXPORTS, wares.policy(name, export), export),
    )
    await stage.clear(name, (EXPORTS, name), (resources.SERVICES, f"{name}-service"))
    return seconds


KINDS = (single, chained, twin, towpath)


def _shares(plane: Plane, numbers: Sequence[int]) -> dict[str, list[float]]:
    """Return the share of the plugin, and of this process in its place, for each round."""
    writes = plane.audit.writes(namespace=NAMESPACE)
    own, floor = [], []
    for number in numbers:
        service, export = _name(towpath, number), _name(twin, number)
        own.append(share(writes, f"{service}-serviceexport", PLUGIN, {service, f"towpath-import-{service}"}))
        floor.append(share(writes, f"{export}-serviceexport", BENCH, {_derived(export)}))
    return {
        "own share": [s.seconds for s in own],
        "own thinking": [s.thinking for s in own],
        "twin's share": [s.seconds for s in floor],
        "twin's thinking": [s.thinking for s in floor],
        "own writes": [s.writes for s in own],
    }


# One environment after the other


def _name(kind: Callable[..., object], number: int) -> str:
    return f"{kind.__name__}-{number:04}"


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    qps: Sequence[Qps]
    rounds: int
    settle: float | None
    out: Path | None


async def _environment(qps: Qps, options: Options, say: Say) -> dict[str, Any]:
    """Boot, measure and take down one environment: returns everything measured."""
    settle = SETTLE[qps] if options.settle is None else options.settle
    samples: dict[str, list[float]] = {kind.__name__: [] for kind in KINDS}
    numbers = range(1, WARM_UP + options.rounds + 1)
    load = os.getloadavg()[0]
    async with plane(qps, say) as booted:
        bindings = Watch(booted.karmada, resources.BINDINGS)
        async with booted.watch_members(*SEEN) as members, running([bindings]):
            stage = Stage(booted, bindings, members, settle)
            for number in numbers:
                seconds = [await kind(stage, _name(kind, number)) for kind in KINDS]
                for kind, of_kind in zip(KINDS, seconds, strict=True):
                    samples[kind.__name__].append(of_kind)
                told = "  ".join(f"{k.__name__} {s:.3f} s" for k, s in zip(KINDS, seconds, strict=True))
                say(f"round {number} of {len(numbers)}  {told}{'  (warm-up)' if number <= WARM_UP else ''}")
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
        f"towpath/{floor.__name__} {p}": rows["towpath"][p] / rows[floor.__name__][p]
        for floor in (single, chained, twin)
        for p in ("p50", "p99")
    }
    goals = [
        Goal("towpath/chained at p50", RATIO_GOAL, ratios["towpath/chained p50"]),
        Goal("own share at p50", SHARE_GOAL * 1000, rows["own share"]["p50"] * 1000, " ms"),
    ]
    return {"summary": rows, "ratios": ratios, "goals": [goal.dump() for goal in goals]}


def _told(qps: str, result: Mapping[str, Any]) -> str:
    before, after = result["load"]
    head = (
        f"Karmada's client limits: {qps}; {result['settle']:g} s idle before each; load {before} to {after}"
    )
    ratios = "\n".join(f"{name} {value:.2f}" for name, value in result["ratios"].items())
    goals = (str(Goal(g["what"], g["limit"], g["measured"], g["unit"])) for g in result["goals"])
    return "\n".join(("", head, table(result["summary"]), ratios, *(f"goal: {goal}" for goal in goals)))


async def _measure(options: Options, say: Say) -> dict[str, Any]:
    document: dict[str, Any] = {"bench": "convergence", "machine": machine(), "environments": {}}
    for qps in options.qps:
        result = document["environments"][qps.value] = await _environment(qps, options, say)
        print(_told(qps.value, result), flush=True)
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

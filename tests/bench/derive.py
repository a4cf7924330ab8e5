"""What the derivation costs: a whole fleet at once, and one change in it.

    make bench BENCH=derive [OUT=file.json] [ARGS="--clusters 100 --services 1000 --rounds 7"]

whole    ``derive`` of a world in which every service is exported by ten clusters and imported by all.
         Once with all services, once with half of them, once with half of the clusters as well, in turn in
         every round: the growth from half the services to all must stay below 2.1.
objects  ``render`` of the whole: every ServiceImport, PropagationPolicy and OverridePolicy.
change   ``Incremental``: one service gets another path, and is derived anew. What it costs must not depend
         on how many other services there are, so it is shown for both sizes.
gateway  ``Incremental``: one member's gateway moves, and the services exported there are derived anew; per
         service touched.

Memory is what a derivation holds when it is done (tracemalloc), measured in a round of its own.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import sys
import time
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.bench.report import Goal, machine, machine_line, summary
from towpath.derivation.derive import derive
from towpath.derivation.index import Incremental
from towpath.derivation.render import render
from towpath.model.cluster import Member, changed
from towpath.model.export import Export, ExportRule
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.service import Service, ServicePort
from towpath.model.world import ExportedService, Offer, World
from towpath.serving import gc_tuning

EXPORTERS = 10
GROWTH = 2.1
_CHANGES = 200


def offer(path: str) -> Offer:
    """Return what a template gives each member that it is bound to."""
    export = Export(rules=(ExportRule(port_number=8080, path=path),), service_account_name="*")
    return Offer(export, Service(ports=(ServicePort(port=8080, name="http", target_port=8080),)))


def fleet(clusters: int, services: int) -> World:
    """Return a world in which every service has ten exporters, spread evenly."""
    members = {
        f"m{number:03}": Member(
            name=f"m{number:03}",
            gateway_host=f"10.{number // 250}.{number % 250}.1",
            imports=frozenset({Dialect.MULTICLUSTER}),
        )
        for number in range(clusters)
    }
    names, exported = list(members), {}
    for number in range(services):
        key = ServiceKey(Dialect.MULTICLUSTER, f"team-{number % 20}", f"s{number:05}")
        there = offer(f"/{key.namespace}/{key.name}")
        chosen = [names[(number * 7 + n * 9) % clusters] for n in range(EXPORTERS)]
        exported[key] = ExportedService(key, f"uid-{number}", dict.fromkeys(chosen, there))
    return World(members, exported)


def seconds(work: Callable[[], object]) -> float:
    """Return how long something takes; what it makes is thrown away after the clock stops."""
    gc.collect()
    began = time.perf_counter()
    made = work()
    took = time.perf_counter() - began
    del made
    return took


def held(world: World) -> int:
    """Return the bytes that a derivation holds."""
    tracemalloc.start()
    try:
        made = derive(world)
        size, _ = tracemalloc.get_traced_memory()
        del made
        return size
    finally:
        tracemalloc.stop()


def kept(world: World) -> Incremental:
    """Return a world that is kept up to date, with everything derived."""
    made = Incremental()
    made.put_members(world.members)
    for key, service in world.services.items():
        made.put_service(key, service)
    for key in world.services:
        made.derived(key, 0.0)
    return made


def one_change(world: Incremental) -> list[float]:
    """Return how long each of many changes of one service takes."""
    samples = []
    for number, key in zip(range(_CHANGES), itertools.cycle(world.services), strict=False):
        service = world.services[key]
        moved = replace(service, offers=dict.fromkeys(service.offers, offer(f"/moved/{number}")))
        began = time.perf_counter()
        for touched in world.put_service(key, moved):
            world.derived(touched, 0.0)
        samples.append(time.perf_counter() - began)
    return samples


def one_gateway(world: Incremental) -> list[float]:
    """Return how long each of some moves of a gateway takes, divided by the services that it touches."""
    samples = []
    for number, name in enumerate(list(world.fleet.members)[:20]):
        moved = changed(world.fleet.members[name], gateway_port=1000 + number)
        members = {**world.fleet.members, name: moved}
        began = time.perf_counter()
        touched = world.put_members(members)
        for key in touched:
            world.derived(key, 0.0)
        samples.append((time.perf_counter() - began) / len(touched))
    return samples


def measure(clusters: int, services: int, rounds: int) -> dict[str, Any]:
    """Measure everything, with the garbage collector as the plugin has it."""
    gc_tuning.collect_rarely()
    sizes = {
        "all": fleet(clusters, services),
        "half the services": fleet(clusters, services // 2),
        "half of both": fleet(clusters // 2, services // 2),
    }
    whole: dict[str, list[float]] = {name: [] for name in sizes}
    objects: list[float] = []
    rendered = [*derive(sizes["all"]).services.items()]
    for _ in range(rounds):
        for name, world in sizes.items():
            whole[name].append(seconds(lambda world=world: derive(world)))  # type: ignore[misc]
        objects.append(seconds(lambda: [render(key, "uid", derived) for key, derived in rendered]))
    rendered.clear()
    kept_worlds = {name: kept(sizes[name]) for name in ("all", "half the services")}
    return {
        "clusters": clusters,
        "services": services,
        "exporters": EXPORTERS,
        "whole": {name: summary(samples) for name, samples in whole.items()},
        "objects": summary(objects),
        "bytes": {name: held(world) for name, world in sizes.items()},
        "change": {name: summary(one_change(world)) for name, world in kept_worlds.items()},
        "gateway": {name: summary(one_gateway(world)) for name, world in kept_worlds.items()},
    }


def goals(result: Mapping[str, Any]) -> list[Goal]:
    """Return the goals."""
    whole, change = result["whole"], result["change"]
    return [
        Goal(
            "all services against half of them, time",
            GROWTH,
            whole["all"]["min"] / whole["half the services"]["min"],
            "x",
        ),
        Goal(
            "all services against half of them, one change",
            1.2,
            change["all"]["p50"] / change["half the services"]["p50"],
            "x",
        ),
    ]


def report(result: Mapping[str, Any]) -> str:
    """Return the result as text."""
    clusters, services = result["clusters"], result["services"]
    lines = [f"{clusters} clusters, {services} services, {result['exporters']} exporters each", ""]
    counts = {"all": services, "half the services": services // 2, "half of both": services // 2}
    lines.append(f"{'derive':<20}{'ms':>9}{'µs/service':>13}{'MiB held':>11}")
    for name, row in result["whole"].items():
        each = row["min"] / counts[name] * 1e6
        size = result["bytes"][name] / 2**20
        lines.append(f"{name:<20}{row['min'] * 1000:>9.0f}{each:>13.0f}{size:>11.1f}")
    each = result["objects"]["min"] / services * 1e6
    lines.append(f"{'objects':<20}{result['objects']['min'] * 1000:>9.0f}{each:>13.0f}")
    lines += ["", f"{'one of them':<20}{'µs p50':>9}{'µs p99':>13}"]
    for change in ("change", "gateway"):
        for name, row in result[change].items():
            label = f"{change}, {name.replace('half the services', 'half')}"
            lines.append(f"{label:<20}{row['p50'] * 1e6:>9.0f}{row['p99'] * 1e6:>13.0f}")
    return "\n".join([*lines, "", *map(str, goals(result))])


def main() -> int:
    """Run; returns the exit code, which is 0 also when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.derive", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--out", type=Path, help="write everything measured to this file, as JSON")
    parser.add_argument("--clusters", type=int, default=100)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    if given.clusters < 2 * EXPORTERS or given.services < 2 or given.rounds < 1:
        parser.error(f"at least {2 * EXPORTERS} clusters, 2 services and 1 round are needed")
    where = machine()
    result = measure(given.clusters, given.services, given.rounds)
    print(report(result))
    if given.out:
        document = {"machine": where, **result, "goals": [goal.dump() for goal in goals(result)]}
        given.out.write_text(json.dumps(document, indent=1) + "\n")
    print(f"\n{machine_line(where)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What a large fleet costs the plugin: memory, time until it knows everything, and events it can follow.

    make bench BENCH=memory [OUT=file.json] [ARGS="--clusters 100 --services 10000 --exports 1000"]

The real ``towpath serve plugin`` runs against an apiserver of the bench's own (``synthetic``), in a process
of its own, which serves the objects of such a fleet and stores what the plugin writes. Each Service is bound
to every cluster, each export to ten. Three phases:

cold      Nothing derived is there: until every object has been listed, and until all exports are Ready.
restart   Everything is there: until every object has been listed, and until nothing is due any more. Then
          it rests: its RSS is the steady one. Nothing may be written.
churn     Bindings of all Services are reported anew, as fast as the plugin reads: events a second, and its
          RSS when it is through.

All of it is done for the whole fleet, and for one with half the Services and the same exports: memory has to
grow with the exports, not with the fleet. "Longest wait" is how long /healthz took to answer at most in the
phase, asked every 20 ms: so long was the event loop busy with one thing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.bench.process import PATIENCE, child, plugin
from tests.bench.report import Goal, machine, machine_line
from tests.support.kubeconfig import kubeconfig
from towpath.cli.running import run

RSS_GOAL, GROWTH_GOAL = 512, 1.1
REST = 3.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Server:
    """The synthetic apiserver, as the bench asks it."""

    url: str
    session: aiohttp.ClientSession

    async def state(self) -> dict[str, Any]:
        """Return the figures of the server."""
        async with self.session.get(f"{self.url}/state") as answer:
            state: dict[str, Any] = await answer.json()
            return state

    async def writes(self) -> int:
        """Return how many writes it has taken."""
        return sum((await self.state())["writes"].values())

    async def churn(self, events: int) -> float:
        """Let it report so many bindings anew; return how long the plugin took to follow."""
        url = f"{self.url}/churn?events={events}&without=1"
        async with self.session.post(url, timeout=aiohttp.ClientTimeout(total=PATIENCE)) as answer:
            return float((await answer.json())["seconds"])


async def measure(size: Mapping[str, int], events: int, say: Say) -> dict[str, Any]:
    """Measure all phases over a fleet of a size."""
    sizes = [f"--{name}={number}" for name, number in size.items()]
    result: dict[str, Any] = dict(size)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="towpath-bench-")))
        process = await stack.enter_async_context(
            child("tests.bench.synthetic", *sizes, stdout=asyncio.subprocess.PIPE)
        )
        session = await stack.enter_async_context(aiohttp.ClientSession())
        assert process.stdout is not None
        server = Server(f"http://127.0.0.1:{int(await process.stdout.readline())}", session)
        config = kubeconfig(folder, server.url)
        say(f"{size['services']} services are served")
        async with plugin(config, folder) as cold:
            listed = await cold.took(cold.is_ready, bool)
            done = await cold.took(server.state, lambda state: state["ready"] == size["exports"])
            written = await server.writes()
            result["cold"] = {"listed": listed, "done": done, "writes": written, **cold.cost()}
            say(f"cold: {result['cold']}")
        async with plugin(config, folder) as again:
            listed = await again.took(again.is_ready, bool)
            done = await again.took(again.due, lambda due: due == 0)
            await asyncio.sleep(REST)
            wrote = await server.writes() - written
            result["restart"] = {"listed": listed, "done": done, "writes": wrote, **again.cost()}
            say(f"restart: {result['restart']}")
            before = again.cost()
            seconds = await server.churn(events)
            await asyncio.sleep(REST)
            after = again.cost()
            share = (after["cpu"] - before["cpu"]) / seconds
            result["churn"] = {**after, "rate": events / seconds, "share": share}
            say(f"churn: {result['churn']}")
    return result


def goals(whole: Mapping[str, Any], half: Mapping[str, Any]) -> list[Goal]:
    """Return the goals."""
    return [
        Goal("steady RSS", RSS_GOAL, whole["restart"]["rss"], " MiB"),
        Goal("RSS after churn", RSS_GOAL, whole["churn"]["rss"], " MiB"),
        Goal(
            "all services against half of them, RSS",
            GROWTH_GOAL,
            whole["restart"]["rss"] / half["restart"]["rss"],
            "x",
        ),
        Goal("writes of a restart", 0, whole["restart"]["writes"]),
    ]


def report(result: Mapping[str, Any]) -> str:
    """Return one fleet's figures as text."""
    head = (
        f"{result['clusters']} clusters, {result['services']} services, {result['exports']} exported "
        f"from {result['exporters']} clusters each"
    )
    columns = ("listed s", "done s", "writes", "CPU s", "RSS MiB", "peak MiB", "longest wait ms")
    lines = [head, f"{'':<10}" + "".join(f"{column:>{max(10, len(column) + 2)}}" for column in columns)]
    for phase in ("cold", "restart"):
        row = result[phase]
        lines.append(
            f"{phase:<10}{row['listed']:>10.1f}{row['done']:>10.1f}{row['writes']:>10}{row['cpu']:>10.1f}"
            f"{row['rss']:>10.0f}{row['peak']:>10.0f}{row['longest'] * 1000:>17.0f}"
        )
    row = result["churn"]
    lines.append(
        f"churn: {row['rate']:.0f} events/s with {row['share']:.2f} of a core; then {row['rss']:.0f} MiB, "
        f"peak {row['peak']:.0f} MiB, longest wait {row['longest'] * 1000:.0f} ms"
    )
    return "\n".join(lines)


def main() -> int:
    """Run; returns the exit code, which is 0 also when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.memory", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--out", type=Path, help="write everything measured to this file, as JSON")
    for name, number in {"clusters": 100, "services": 10_000, "exports": 1000, "exporters": 10}.items():
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--events", type=int, default=20_000)
    given = parser.parse_args()
    size = {name: getattr(given, name) for name in ("clusters", "services", "exports", "exporters")}
    if given.services < 2 * given.exports or given.exporters > given.clusters:
        parser.error("at least twice as many services as exports, and no more exporters than clusters")
    where = machine()

    async def both() -> list[dict[str, Any]]:
        sizes = size, {**size, "services": given.services // 2}
        return [
            await measure(size, given.events, lambda line: print(line, file=sys.stderr)) for size in sizes
        ]

    try:
        results = run(both())
    except KeyboardInterrupt:
        return 130
    print("\n\n".join(map(report, results)))
    reached = goals(*results)
    print("", *map(str, reached), sep="\n")
    if given.out:
        document = {
            "bench": "memory",
            "machine": where,
            "fleets": results,
            "goals": [g.dump() for g in reached],
        }
        given.out.write_text(json.dumps(document, indent=1) + "\n")
    print(f"\n{machine_line(where)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

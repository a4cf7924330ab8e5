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
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import yaml

from tests.bench.report import Goal, machine, machine_line
from towpath.cli.running import run
from towpath.local.ports import free_ports
from towpath.waiting import until

RSS_GOAL, GROWTH_GOAL = 512, 1.1
PATIENCE = 600.0
REST = 3.0
_POLL = 0.02
_MIB = 2**20

Say = Callable[[str], None]


@asynccontextmanager
async def child(*args: str, **options: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a Python module as a process for the length of the block."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", *args, **options)
    try:
        yield process
    finally:
        process.terminate()
        await process.wait()


@dataclass
class Plugin:
    """A running plugin, and a session to ask it and the apiserver with."""

    session: aiohttp.ClientSession
    process: psutil.Process
    health: str
    apiserver: str
    began: float
    longest: float = 0.0

    async def probe(self) -> None:
        """Ask whether it is alive, for ever, and note how long the answer took at most."""
        while True:
            asked = time.perf_counter()
            try:
                async with self.session.get(f"{self.health}/healthz"):
                    self.longest = max(self.longest, time.perf_counter() - asked)
            except aiohttp.ClientConnectionError:
                pass  # it does not listen yet
            await asyncio.sleep(_POLL)

    async def is_ready(self) -> bool:
        """Tell whether everything has been listed."""
        try:
            async with self.session.get(f"{self.health}/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientConnectionError:
            return False

    async def due(self) -> float:
        """Return how many services are due."""
        async with self.session.get(f"{self.health}/metrics") as answer:
            text = await answer.text()
        return next(
            float(line.split()[1]) for line in text.splitlines() if line.startswith("towpath_queue_depth ")
        )

    async def state(self) -> dict[str, Any]:
        """Return what the apiserver has been told."""
        async with self.session.get(f"{self.apiserver}/state") as answer:
            told: dict[str, Any] = await answer.json()
            return told

    async def took(self, look: Callable[[], Awaitable[Any]], right: Callable[[Any], bool]) -> float:
        """Return the seconds since its start at which what is seen is right."""
        await until(
            look, right, patience=PATIENCE, otherwise=lambda seen: AssertionError(f"not right: {seen}")
        )
        return time.perf_counter() - self.began

    def cost(self) -> dict[str, float]:
        """Return what it has used until now."""
        times, longest = self.process.cpu_times(), self.longest
        self.longest = 0.0
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        kib = {name: int(number) for name, number in re.findall(r"(\w+):\s+(\d+) kB", text)}
        return {
            "rss": kib["VmRSS"] / 1024,
            "peak": kib["VmHWM"] / 1024,
            "cpu": times.user + times.system,
            "longest": longest,
        }


@asynccontextmanager
async def plugin(apiserver: str, folder: Path) -> AsyncIterator[Plugin]:
    """Run the plugin against an apiserver."""
    config = folder / "config"
    named = {"name": "x"}
    config.write_text(
        yaml.safe_dump(
            {
                "current-context": "x",
                "clusters": [{**named, "cluster": {"server": apiserver}}],
                "users": [{**named, "user": {}}],
                "contexts": [{**named, "context": {"cluster": "x", "user": "x"}}],
            }
        )
    )
    port = free_ports(1)[0]
    health = f"127.0.0.1:{port}"
    log = (folder / "plugin.log").open("ab")
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        began = time.perf_counter()
        args = ("towpath", "serve", "plugin", f"--kubeconfig={config}", f"--health={health}")
        process = await stack.enter_async_context(child(*args, stdout=log, stderr=log))
        made = Plugin(session, psutil.Process(process.pid), f"http://{health}", apiserver, began)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        probing = tasks.create_task(made.probe())
        try:
            yield made
        finally:
            probing.cancel()


async def measure(size: Mapping[str, int], events: int, say: Say) -> dict[str, Any]:
    """Measure all phases over a fleet of a size."""
    sizes = [f"--{name}={number}" for name, number in size.items()]
    result: dict[str, Any] = dict(size)
    with tempfile.TemporaryDirectory(prefix="towpath-bench-") as name:
        async with child("tests.bench.synthetic", *sizes, stdout=asyncio.subprocess.PIPE) as server:
            assert server.stdout is not None
            apiserver = f"http://127.0.0.1:{int(await server.stdout.readline())}"
            say(f"{size['services']} services are served")
            async with plugin(apiserver, Path(name)) as cold:
                listed = await cold.took(cold.is_ready, bool)
                done = await cold.took(cold.state, lambda state: state["ready"] == size["exports"])
                written = (await cold.state())["writes"]
                result["cold"] = {
                    "listed": listed,
                    "done": done,
                    "writes": sum(written.values()),
                    **cold.cost(),
                }
                say(f"cold: {result['cold']}")
            async with plugin(apiserver, Path(name)) as again:
                listed = await again.took(again.is_ready, bool)
                done = await again.took(again.due, lambda due: due == 0)
                await asyncio.sleep(REST)
                wrote = sum((await again.state())["writes"].values()) - sum(written.values())
                result["restart"] = {"listed": listed, "done": done, "writes": wrote, **again.cost()}
                say(f"restart: {result['restart']}")
                result["churn"] = await _churned(again, events)
                say(f"churn: {result['churn']}")
    return result


async def _churned(plugin: Plugin, events: int) -> dict[str, float]:
    before = plugin.process.cpu_times()
    url = f"{plugin.apiserver}/churn?events={events}&without=1"
    async with plugin.session.post(url, timeout=aiohttp.ClientTimeout(total=PATIENCE)) as answer:
        seconds: float = (await answer.json())["seconds"]
    after = plugin.process.cpu_times()
    used = after.user + after.system - before.user - before.system
    await asyncio.sleep(REST)
    return {"rate": events / seconds, "share": used / seconds, **plugin.cost()}


def goals(whole: Mapping[str, Any], half: Mapping[str, Any]) -> list[Goal]:
    """Return what was to be reached."""
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


def told(result: Mapping[str, Any]) -> str:
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
        return [await measure(one, given.events, lambda line: print(line, file=sys.stderr)) for one in sizes]

    try:
        results = run(both())
    except KeyboardInterrupt:
        return 130
    print("\n\n".join(map(told, results)))
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

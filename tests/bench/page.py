"""The page over a large fleet: first paint, update latency, memory, and what viewers cost the plugin.

    make bench BENCH=page [OUT=file.json] [ARGS="--clusters 100 --services 1000 --viewers 20 --seconds 60"]

The real ``towpath serve plugin`` runs against an apiserver of the bench's own (``synthetic``), the real
``towpath serve page`` beside it, and a real Chromium opens the page. Each of these is a process of its own.

first paint     From the start of the navigation until the browser has painted something, and until the whole
                cluster set is drawn.
update latency  From the request that changes what an export is offered from until the browser shows it. It
                includes the plugin's derivation, and the 0.2 s and 0.25 s in which changes are gathered.
memory          RSS of the page's process with all viewers connected; the JavaScript heap of the tab.
plugin          Processor time of the plugin, as a fraction of a core, with all viewers connected: while
                nothing changes, and with one change a second, less that without the page: the bench asks
                for the plugin's health fifty times a second, which takes more than the page does. With
                viewers the plugin asks a Prometheus of the bench's own, by which all pairs of members send
                requests, and each rate changes every 15 seconds (``traffic``).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from tests.bench.memory import Server
from tests.bench.process import PATIENCE, Plugin, child, plugin
from tests.bench.report import Goal, machine, machine_line, percentile
from tests.bench.traffic import traffic
from tests.support.chromium import Tab, browser
from tests.support.kubeconfig import kubeconfig
from towpath.cli.running import run
from towpath.local.ports import free_ports
from towpath.polling import last_seen

PAINT_GOAL, DRAWN_GOAL, LATENCY_GOAL = 1.0, 2.0, 1.5
RSS_GOAL, HEAP_GOAL, CORE_GOAL = 200.0, 50.0, 0.1
ROUNDS = 10
FIRST = "team-0/service-00000"
_DRAWN = 'document.body?.classList.contains("loaded") ? performance.now() / 1000 : 0'
_PAINTED = 'performance.getEntriesByName("first-contentful-paint")[0]?.startTime / 1000 || 0'
_CLUSTERS = f"""(() => {{
    const row = [...document.querySelectorAll("#services-list .row:not([hidden])")]
        .find(row => row.querySelector(".full").textContent === "{FIRST}");
    return row?.querySelector(".from").title.split(", ").length ?? 0;
}})()"""


async def _shown(url: str, session: aiohttp.ClientSession) -> dict[str, Any]:
    try:
        async with session.get(f"{url}/api/picture") as answer:
            shown: dict[str, Any] = json.loads(await answer.read())
            return shown
    except aiohttp.ClientConnectionError:
        return {"services": []}


async def _wait(tab: Tab, expression: str, right: Callable[[Any], bool]) -> float:
    """Return when an expression in the tab is right."""
    seen = await last_seen(lambda: tab.evaluate(expression), right, patience=PATIENCE, every=0.01)
    assert right(seen), f"{expression}: {seen}; {tab.errors}"
    return time.perf_counter()


@asynccontextmanager
async def _viewers(url: str, session: aiohttp.ClientSession, number: int) -> AsyncIterator[None]:
    """Follow the page so many times, as browsers do, for the length of the block."""

    async def follow() -> None:
        async with session.get(f"{url}/api/stream", timeout=aiohttp.ClientTimeout(total=None)) as answer:
            async for _ in answer.content.iter_any():
                pass

    following = [asyncio.create_task(follow()) for _ in range(number)]
    yield
    for task in following:
        task.cancel()
    await asyncio.gather(*following, return_exceptions=True)


class Changes:
    """Takes one of the exporters from the first export, and gives it back, in turn."""

    def __init__(self, server: Server, exporters: int) -> None:
        self._server, self._exporters, self._without = server, exporters, 0

    @property
    def offered(self) -> int:
        """The exporters that there are now."""
        return self._exporters - self._without

    async def change(self) -> None:
        """Change it, and wait until the plugin has written what follows."""
        self._without = 1 - self._without
        url = f"{self._server.url}/churn?events=0&without={self._without}"
        async with self._server.session.post(url):
            pass


async def _latencies(tab: Tab, changes: Changes) -> list[float]:
    """Return how long it took in each of some rounds until a change was seen."""
    found = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        changing = asyncio.create_task(changes.change())
        found.append(await _wait(tab, _CLUSTERS, lambda seen: seen == changes.offered) - began)
        await changing
    return found


async def _core(measured: Plugin, seconds: float, changes: Changes | None = None) -> float:
    """Return the fraction of a core that the plugin takes; with ``changes``, one a second."""
    before, began = measured.cost()["cpu"], time.perf_counter()
    while time.perf_counter() - began < seconds:
        await asyncio.sleep(1.0)
        if changes is not None:
            await changes.change()
    return (measured.cost()["cpu"] - before) / (time.perf_counter() - began)


async def measure(
    clusters: int, services: int, exporters: int, viewers: int, seconds: float
) -> dict[str, float]:
    """Return what was measured."""
    sizes = (f"--clusters={clusters}", f"--services={services}", f"--exports={services}")
    result: dict[str, float] = {}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="towpath-bench-")))
        process = await stack.enter_async_context(
            child("tests.bench.synthetic", *sizes, f"--exporters={exporters}", stdout=asyncio.subprocess.PIPE)
        )
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        )
        assert process.stdout is not None
        server = Server(f"http://127.0.0.1:{int(await process.stdout.readline())}", session)
        socket = f"--socket={folder / 'plugin.sock'}"
        asked = f"--prometheus={await stack.enter_async_context(traffic(clusters))}"
        measured = await stack.enter_async_context(
            plugin(kubeconfig(folder, server.url), folder, socket, asked)
        )
        await measured.took(server.state, lambda state: state["ready"] == services)
        await measured.took(measured.due, lambda due: due == 0)
        changes = Changes(server, exporters)
        result["plugin alone, quiet"] = await _core(measured, seconds)
        result["plugin alone, changes"] = await _core(measured, seconds, changes)

        address = f"127.0.0.1:{free_ports(1)[0]}"
        log = stack.enter_context((folder / "page.log").open("ab"))
        args = ("towpath", "serve", "page", socket, f"--listen={address}", "--no-authentication")
        page = await stack.enter_async_context(child(*args, stdout=log, stderr=log))
        url = f"http://{address}"
        await measured.took(lambda: _shown(url, session), lambda seen: len(seen["services"]) == services)

        tab = await stack.enter_async_context((await stack.enter_async_context(browser())).tab())
        await tab.size(1440, 900)
        await tab.go(url)
        await _wait(tab, _DRAWN, bool)
        result["drawn"] = await tab.evaluate(_DRAWN)
        await _wait(tab, _PAINTED, bool)
        result["painted"] = await tab.evaluate(_PAINTED)
        await tab.go(f"{url}/#/?q={FIRST}")
        await stack.enter_async_context(_viewers(url, session, viewers - 1))
        latencies = await _latencies(tab, changes)
        result["latency p50"], result["latency max"] = percentile(latencies, 50), max(latencies)
        result["plugin, quiet"] = await _core(measured, seconds)
        result["plugin, changes"] = await _core(measured, seconds, changes)
        result["rss"] = psutil.Process(page.pid).memory_info().rss / 2**20
        await tab.call("HeapProfiler.collectGarbage")
        result["heap"] = (await tab.call("Runtime.getHeapUsage"))["usedSize"] / 2**20
    return result


def goals(found: dict[str, float], viewers: int) -> list[Goal]:
    """Return what was to be reached."""
    viewing = f"with {viewers} viewers"
    more = {
        phase: found[f"plugin, {phase}"] - found[f"plugin alone, {phase}"] for phase in ("quiet", "changes")
    }
    return [
        Goal("first paint", PAINT_GOAL, found["painted"], " s"),
        Goal("first paint of the whole cluster set", DRAWN_GOAL, found["drawn"], " s"),
        Goal("update latency, p50", LATENCY_GOAL, found["latency p50"], " s"),
        Goal(f"RSS of the page's process {viewing}", RSS_GOAL, found["rss"], " MiB"),
        Goal("JavaScript heap of the tab", HEAP_GOAL, found["heap"], " MiB"),
        Goal(f"plugin {viewing} while nothing changes, more than without", CORE_GOAL, more["quiet"], " core"),
        Goal(f"plugin {viewing}, a change a second, more than without", CORE_GOAL, more["changes"], " core"),
    ]


def main() -> int:
    """Run; returns the exit code, which is 0 also when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.page", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    for name, number in {
        "clusters": 100,
        "services": 1000,
        "exporters": 3,
        "viewers": 20,
        "seconds": 60,
    }.items():
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    given = parser.parse_args()
    found = run(measure(given.clusters, given.services, given.exporters, given.viewers, given.seconds))
    reached = goals(found, given.viewers)
    print(*reached, sep="\n")
    print(f"update latency, max: {found['latency max']:.3g} s")
    print(f"plugin without the page, nothing changes: {found['plugin alone, quiet']:.3g} core")
    print(f"plugin without the page, a change a second: {found['plugin alone, changes']:.3g} core")
    print(machine_line(machine()))
    if given.out:
        given.out.write_text(
            json.dumps({**found, "goals": [goal.dump() for goal in reached], "machine": machine()})
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Memory and CPU of plugin and webhook under a named load, from which the chart's requests and limits come.

    make bench BENCH=resources [OUT=file.json] [ARGS="--clusters 20 --services 1000 --rate 50 --seconds 60"]

The real ``towpath serve plugin`` and ``towpath serve webhook`` run against an apiserver of the bench's own
(``synthetic``), each in a process of its own. Every service is exported from three clusters.

start    Nothing derived is there. It ends when every export is Ready: peak memory, and seconds of CPU.
load     So many times a second a cluster stops or begins to export a service, the plugin writes what follows,
         and the webhook is asked three questions, over sixteen connections: whether an export is valid and
         which status it has, for which it asks the plugin, and its health. CPU as a part of a core, and
         memory at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import ssl
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from tests.bench.memory import Server
from tests.bench.process import child, plugin, used
from tests.bench.report import machine, machine_line, percentile
from tests.bench.webhook import bodies
from tests.support.certificates import HOSTS, authority, identity, written
from tests.support.kubeconfig import kubeconfig
from towpath.cli.running import run
from towpath.local.ports import free_ports

EXPORTERS, CONNECTIONS = 3, 16


async def _steadily(act: Callable[[int], Awaitable[None]], rate: float, seconds: float) -> list[float]:
    """Act at a rate, whether or not the last one is done, and return how long each took."""
    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        started = []
        for number in itertools.count():
            late = number / rate - (time.perf_counter() - began)
            if number / rate >= seconds:
                break
            await asyncio.sleep(max(0.0, late))
            started.append(tasks.create_task(_timed(act, number)))
    return [task.result() for task in started]


async def _timed(act: Callable[[int], Awaitable[None]], number: int) -> float:
    began = time.perf_counter()
    await act(number)
    return time.perf_counter() - began


async def _begun(
    stack: AsyncExitStack, folder: Path, socket: str
) -> tuple[psutil.Process, aiohttp.ClientSession]:
    """Start a webhook; return its process, and a session with it."""
    made = authority("bench")
    files = written(folder / "webhook", identity(made, "webhook", serves=HOSTS), made)
    port = free_ports(1)[0]
    tls = (f"--tls-cert={files.certificate}", f"--tls-key={files.key}", f"--port={port}")
    argv = ("towpath", "serve", "webhook", *tls, f"--plugin-socket={socket}", "--drain=0")
    log = stack.enter_context((folder / "webhook.log").open("ab"))
    process = await stack.enter_async_context(child(*argv, stdout=log, stderr=log))
    trust = ssl.create_default_context(cafile=str(files.ca))
    connector = aiohttp.TCPConnector(limit=CONNECTIONS, ssl=trust)
    headers = {"Content-Type": "application/json"}
    session = aiohttp.ClientSession(f"https://127.0.0.1:{port}", connector=connector, headers=headers)
    return psutil.Process(process.pid), await stack.enter_async_context(session)


async def measure(clusters: int, services: int, rate: float, seconds: float) -> dict[str, Any]:
    """Return what both processes used in both phases, and how long changes and answers took."""
    sizes = (f"--clusters={clusters}", f"--services={services}", f"--exports={services}")
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="towpath-bench-")))
        synthetic = await stack.enter_async_context(
            child("tests.bench.synthetic", *sizes, f"--exporters={EXPORTERS}", stdout=asyncio.subprocess.PIPE)
        )
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        )
        assert synthetic.stdout is not None
        server = Server(f"http://127.0.0.1:{int(await synthetic.stdout.readline())}", session)
        socket = str(folder / "plugin.sock")
        config = kubeconfig(folder, server.url)
        measured = await stack.enter_async_context(plugin(config, folder, f"--socket={socket}", probed=False))
        webhook, asker = await _begun(stack, folder, socket)
        await measured.took(server.state, lambda state: state["ready"] == services)
        await measured.took(measured.due, lambda due: due == 0)
        processes = {"plugin": measured.process, "webhook": webhook}
        start = {name: used(process) for name, process in processes.items()}
        asked = bodies()

        async def change(number: int) -> None:
            query = f"events=0&export={number % services}&without={1 - number // services % 2}&unawaited"
            async with session.post(f"{server.url}/churn?{query}") as answer:
                assert answer.status == 200

        async def ask(number: int) -> None:
            for path, body in asked.values():
                async with asker.post(path, data=body) as answer:
                    assert answer.status == 200, await answer.text()

        began, before = time.perf_counter(), await server.writes()
        changes, answers = await asyncio.gather(
            _steadily(change, rate, seconds), _steadily(ask, rate, seconds)
        )
        took = time.perf_counter() - began
        await measured.took(measured.due, lambda due: due == 0)
        lag = time.perf_counter() - began - took
        load = {name: used(process) for name, process in processes.items()}
        writes = (await server.writes() - before) / took
    for name, cost in load.items():
        cost["cores"] = (cost["cpu"] - start[name]["cpu"]) / took
    reached = {"rate": len(changes) / took, "writes": writes, "lag": lag}
    return {"start": start, "load": load, **reached, "answers p99": percentile(answers, 99)}


def report(found: dict[str, Any]) -> str:
    """Return the figures as text."""
    lines = [f"{'':<10}{'start: peak MiB':>17}{'CPU s':>8}{'load: cores':>14}{'RSS MiB':>10}{'peak MiB':>10}"]
    for name, start in found["start"].items():
        load = found["load"][name]
        lines.append(
            f"{name:<10}{start['peak']:>17.0f}{start['cpu']:>8.1f}"
            f"{load['cores']:>14.2f}{load['rss']:>10.0f}{load['peak']:>10.0f}"
        )
    lines.append(
        f"{found['rate']:.0f} changes and {found['writes']:.0f} writes a second, followed for "
        f"{found['lag']:.1f} s after the last; p99 of three answers {found['answers p99'] * 1000:.0f} ms"
    )
    return "\n".join(lines)


def main() -> int:
    """Run; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.resources", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    for name, number in {"clusters": 20, "services": 1000, "rate": 50, "seconds": 60}.items():
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    given = parser.parse_args()
    where = machine()
    found = run(measure(given.clusters, given.services, given.rate, given.seconds))
    print(report(found), machine_line(where), sep="\n")
    if given.out:
        given.out.write_text(json.dumps({"bench": "resources", "machine": where, **found}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

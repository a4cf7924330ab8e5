"""What an answer costs without a plugin: ``towpath status``, ``explain`` and ``check`` over a large fleet.

    make bench BENCH=answers [ARGS="--clusters 100 --services 1000 --rounds 5"]

The commands run as processes against an apiserver of the bench's own (``synthetic``), on which a plugin has
written everything before: so each service is in sync, which is the longest answer. The time is that of the
wall clock with the start of Python, and beside it the processor time of the command, both as the median of
the rounds. The apiserver shares the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

import aiohttp
import psutil

from tests.bench.memory import Server
from tests.bench.process import child, plugin
from tests.bench.report import Goal, machine, machine_line
from tests.support.kubeconfig import kubeconfig
from towpath.cli.running import run

LIMIT_SECONDS = 3.0
FIRST = "team-0/service-00000"


async def took(config: Path, *command: str) -> tuple[float, float]:
    """Run a command; return its seconds by the clock and of the processor."""
    before, began = psutil.Process().cpu_times(), time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "towpath", *command, "--kubeconfig", config, stdout=asyncio.subprocess.DEVNULL
    )
    await process.wait()
    seconds, after = time.perf_counter() - began, psutil.Process().cpu_times()
    used = after.children_user - before.children_user + after.children_system - before.children_system
    return seconds, used


async def measure(clusters: int, services: int, exporters: int, rounds: int) -> list[Goal]:
    """Return what each command took."""
    sizes = (f"--clusters={clusters}", f"--services={services}", f"--exports={services}")
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="towpath-bench-")))
        process = await stack.enter_async_context(
            child("tests.bench.synthetic", *sizes, f"--exporters={exporters}", stdout=asyncio.subprocess.PIPE)
        )
        assert process.stdout is not None
        url = f"http://127.0.0.1:{int(await process.stdout.readline())}"
        config = kubeconfig(folder, url)
        await derive(config, folder, url, services)
        goals = []
        for command in (("status",), ("explain", FIRST), ("check",)):
            times = [await took(config, *command) for _ in range(rounds)]
            seconds, used = map(median, zip(*times, strict=True))
            goals.append(Goal(f"towpath {command[0]}", LIMIT_SECONDS, seconds, " s"))
            goals.append(Goal(f"towpath {command[0]}, processor", LIMIT_SECONDS, used, " s"))
        return goals


async def derive(config: Path, folder: Path, url: str, services: int) -> None:
    """Let a plugin write everything, and end."""
    async with aiohttp.ClientSession() as session, plugin(config, folder) as running:
        await running.took(Server(url, session).state, lambda state: state["ready"] == services)
        await running.took(running.due, lambda due: due == 0)


def main() -> int:
    """Run; returns the exit code, which is 0 also when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.answers", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    for name, number in {"clusters": 100, "services": 1000, "exporters": 3, "rounds": 3}.items():
        parser.add_argument(f"--{name}", type=int, default=number)
    given = parser.parse_args()
    print(*run(measure(given.clusters, given.services, given.exporters, given.rounds)), sep="\n")
    print(machine_line(machine()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The plugin as a process of its own under measurement: when it is ready, what is due, what it costs."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from towpath.local.ports import free_ports
from towpath.polling import until

PATIENCE = 600.0
_POLL = 0.02


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
    """A running plugin, and a session to ask it with."""

    session: aiohttp.ClientSession
    process: psutil.Process
    health: str
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

    async def took(self, look: Callable[[], Awaitable[Any]], right: Callable[[Any], bool]) -> float:
        """Return the seconds since its start at which what is seen is right."""
        await until(
            look, right, patience=PATIENCE, otherwise=lambda seen: AssertionError(f"not right: {seen}")
        )
        return time.perf_counter() - self.began

    def cost(self) -> dict[str, float]:
        """Return what it has used until now."""
        longest, self.longest = self.longest, 0.0
        return {**used(self.process), "longest": longest}


def used(process: psutil.Process) -> dict[str, float]:
    """Return the memory of a process in MiB, now and at most, and the seconds of CPU that it has used."""
    text = Path(f"/proc/{process.pid}/status").read_text()
    kib = {name: int(number) for name, number in re.findall(r"(\w+):\s+(\d+) kB", text)}
    times = process.cpu_times()
    return {"rss": kib["VmRSS"] / 1024, "peak": kib["VmHWM"] / 1024, "cpu": times.user + times.system}


@asynccontextmanager
async def plugin(kubeconfig: Path, folder: Path, *options: str, probed: bool = True) -> AsyncIterator[Plugin]:
    """Run the plugin by a kubeconfig for the length of the block; it logs into the folder.

    Unless it is probed, nothing but the bench's own questions costs it time.
    """
    port = free_ports(1)[0]
    health = f"127.0.0.1:{port}"
    async with AsyncExitStack() as stack:
        log = stack.enter_context((folder / "plugin.log").open("ab"))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        began = time.perf_counter()
        args = ("towpath", "serve", "plugin", f"--kubeconfig={kubeconfig}", f"--health={health}", *options)
        process = await stack.enter_async_context(child(*args, stdout=log, stderr=log))
        made = Plugin(session, psutil.Process(process.pid), f"http://{health}", began)
        if not probed:
            yield made
            return
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        probing = tasks.create_task(made.probe())
        try:
            yield made
        finally:
            probing.cancel()

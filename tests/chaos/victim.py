"""A plugin of the test's own, behind the proxy, which may be killed at any moment."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from tests.chaos.proxy import Proxy, proxying
from tests.support.waiting import until
from towpath.local.ports import free_ports
from towpath.local.spec import Environment


@dataclass
class Victim:
    """One plugin at a time."""

    proxy: Proxy
    log: Path
    _port: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start it, unless it lives; it is not in sync yet."""
        if self.lives:
            return
        (self._port,) = free_ports(1)
        options = [f"--kubeconfig={self.proxy.kubeconfig}", f"--health={self.health}"]
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "towpath", "serve", "plugin", *options]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    @property
    def health(self) -> str:
        """HOST:PORT of its health server, which another start changes."""
        return f"127.0.0.1:{self._port}"

    @property
    def lives(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """Kill it as the kernel does when memory runs out, if it lives."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop it in good order."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, how)
            self._process.wait(10)

    async def ask(self, path: str) -> str:
        """Return its answer over HTTP; nothing unless the status is 200."""
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://{self.health}{path}") as found,
            ):
                return await found.text() if found.status == 200 else ""
        except aiohttp.ClientError:
            return ""

    async def synced(self) -> None:
        """Wait until it has read the world."""
        await until(lambda: self.ask("/readyz"), bool)

    async def metric(self, series: str) -> float:
        """Return a metric's value, 0 while there is none."""
        found = re.search(rf"^{re.escape(series)} (\S+)$", await self.ask("/metrics"), re.MULTILINE)
        return float(found[1]) if found else 0.0


@asynccontextmanager
async def victim(env: Environment, folder: Path, seed: int = 1) -> AsyncIterator[Victim]:
    """Run a plugin behind a proxy, in sync when the block begins."""
    async with proxying(env, folder, seed) as proxy:
        plugin = Victim(proxy, folder / "plugin.log")
        plugin.start()
        try:
            await plugin.synced()
            yield plugin
        finally:
            await asyncio.to_thread(plugin.stop)

"""Three webhooks are restarted one after the other, while they are asked 300 times a second."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp

from tests.caller import Caller
from tests.support.waiting import until
from towpath.local import pki
from towpath.local.ports import free_ports

DRAIN = 1.5


class Replica:
    """A webhook as a process, started and stopped as a Deployment does it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        files = (f"--tls-cert={folder / 'tls.crt'}", f"--tls-key={folder / 'tls.key'}")
        self._argv = ("-m", "towpath", "serve", "webhook", *files, f"--port={port}", f"--drain={DRAIN}")
        self._trust = ssl.create_default_context(cafile=str(folder / "ca.crt"))

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, *self._argv, stderr=asyncio.subprocess.DEVNULL
        )
        await until(self.readiness, lambda status: status == 200)

    async def readiness(self) -> int:
        connector = aiohttp.TCPConnector(ssl=self._trust, force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session:
            try:
                async with session.get(f"https://{self.address}/readyz") as response:
                    return response.status
            except aiohttp.ClientConnectionError:
                return 0

    async def restart(self) -> None:
        """Stop it as a kubelet does, seeing it become unready, and start it again."""
        self._process.terminate()
        await until(self.readiness, lambda status: status == 503)
        assert await self._process.wait() == 0
        await self.start()

    async def stop(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def replicas(folder: Path) -> AsyncIterator[list[Replica]]:
    pki.write_pki(folder)
    three = [Replica(folder, port) for port in free_ports(3)]
    async with AsyncExitStack() as stack:
        for replica in three:
            stack.push_async_callback(replica.stop)
        await asyncio.gather(*(replica.start() for replica in three))
        yield three


async def test_graceful_restart_of_three_webhooks_fails_no_call(tmp_path: Path, caller: Caller) -> None:
    async with replicas(tmp_path) as three:
        trust = f"-ca={tmp_path / 'ca.crt'}"
        async with caller.calling([replica.address for replica in three], trust, rate=300) as report:
            for replica in three:
                await replica.restart()
    assert report.failed == 0, report
    assert report.unready == 3, report
    assert report.calls > 500, report

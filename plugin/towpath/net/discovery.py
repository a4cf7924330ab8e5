"""The discovery server: answers each Envoy that connects on the unix socket with the latest snapshot.

Before the first snapshot nobody is answered: an Envoy that was served by a former agent keeps what it has.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio
import structlog
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2

from towpath.errors import SocketUnusable
from towpath.net.metrics import Metrics, Refusal
from towpath.net.session import Session
from towpath.net.snapshot import Snapshot
from towpath.rpc import socketfile

log = structlog.get_logger()
GRACE = 1.0
_LARGEST = 64 << 20
_OPTIONS = (
    ("grpc.max_send_message_length", _LARGEST),
    ("grpc.max_receive_message_length", _LARGEST),
    # Envoy asks every few seconds whether the connection lives (deploy/datapath).
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
)


class Discovery(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):  # type: ignore[misc] # has no stubs
    """Gives Envoy the latest snapshot, and each that follows."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._latest: Snapshot | None = None
        self._published = 0.0
        self._turn = asyncio.Condition()
        self._given: dict[Session, Snapshot | None] = {}
        """What the Envoy of each stream has been brought to."""

    @property
    def is_serving(self) -> bool:
        """Whether an Envoy is connected that has been brought to a snapshot."""
        return any(held is not None for held in self._given.values())

    def refused(self) -> set[Refusal]:
        """Return the resources that an Envoy rejects at present."""
        return {Refusal(kind.name, name) for session in self._given for kind, name in session.refused()}

    async def publish(self, snapshot: Snapshot) -> None:
        """Have every Envoy brought to a snapshot."""
        async with self._turn:
            self._latest = snapshot
            self._published = time.perf_counter()
            self._turn.notify_all()

    async def settled(self) -> None:
        """Wait until every Envoy that is connected has been brought to the latest snapshot."""
        async with self._turn:
            await self._turn.wait_for(lambda: all(held is self._latest for held in self._given.values()))

    async def StreamAggregatedResources(  # noqa: N802 - the name in the protocol
        self,
        _requests: AsyncIterator[discovery_pb2.DiscoveryRequest],
        context: grpc.aio.ServicerContext[discovery_pb2.DiscoveryRequest, discovery_pb2.DiscoveryResponse],
    ) -> None:
        """Serve one Envoy until it goes."""
        session = Session(context.write, lambda kind: self._metrics.rejections[kind.name].inc())
        self._given[session] = None
        self._metrics.connections.inc()
        log.info("Envoy connected")
        pushing = asyncio.create_task(self._push(session))
        try:
            while (request := await context.read()) is not grpc.aio.EOF:
                await session.take(request)
        finally:
            pushing.cancel()
            del self._given[session]
            self._metrics.connections.dec()
            log.info("Envoy disconnected")

    async def _push(self, session: Session) -> None:
        while True:
            async with self._turn:
                await self._turn.wait_for(lambda: self._latest is not self._given[session])
                target, since = self._latest, self._published
            if target is not None:
                await session.push(target)
                self._metrics.push.observe(time.perf_counter() - since)
            async with self._turn:
                self._given[session] = target
                self._turn.notify_all()


@asynccontextmanager
async def serving(discovery: Discovery, path: Path) -> AsyncIterator[None]:
    """Serve on a unix socket. Raises SocketUnusable if another process does, or it cannot be had."""
    server = grpc.aio.server(options=_OPTIONS)
    ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(discovery, server)
    with socketfile.placed(path) as bound:
        try:
            server.add_insecure_port(f"unix:{bound}")
        except RuntimeError as error:
            raise SocketUnusable(f"socket {path}: {error}") from None
        await server.start()
    ours = socketfile.file_id(path)
    log.info("serving Envoy", socket=str(path))
    try:
        yield
    finally:
        await server.stop(GRACE)
        socketfile.remove(path, ours)

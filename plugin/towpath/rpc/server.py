"""The gRPC server: on a unix socket, on a port with mutual TLS, or on both.

Besides its own services it serves the standard ones for health and reflection. Health is NOT_SERVING until
the initial sync is complete, and again while the server stops: a client that waits for SERVING is never
answered from an incomplete world."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import grpc.aio
import structlog
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from towpath.errors import SocketUnusable
from towpath.inventory.inventory import Inventory
from towpath.proto.v1alpha1 import (
    inventory_pb2,
    inventory_pb2_grpc,
    planner_pb2,
    planner_pb2_grpc,
    reviewer_pb2,
    reviewer_pb2_grpc,
)
from towpath.review.explanation import Explainer
from towpath.review.status import Aggregation
from towpath.rpc import socketfile
from towpath.rpc.credentials import Files, for_server
from towpath.rpc.health import HealthServicer
from towpath.rpc.interceptor import Interceptor
from towpath.rpc.inventory import InventoryServicer
from towpath.rpc.planner import Live, PlannerServicer
from towpath.rpc.reviewer import ReviewerServicer
from towpath.traffic.meter import Meter

log = structlog.get_logger()
SERVICES: tuple[str, ...] = tuple(
    service.full_name
    for file in (planner_pb2, inventory_pb2, reviewer_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
)
GRACE_SECONDS = 2.0
"""Time for calls in flight when the server stops; then they are cancelled."""
MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES = 8 << 20, 64 << 20
"""Limits: an object of the apiserver, old and new, or a folder of manifests; and the plan of a large
fleet."""
CHECK_SECONDS = 1.5
"""Deadline of a health check."""
MAX_CALLS = 2000
"""Concurrent calls and streams; further ones fail with RESOURCE_EXHAUSTED."""
MAX_CONNECTIONS = 256
HANDSHAKE_SECONDS = 5
IDLE_SECONDS = 600
"""Time that a connection without calls is kept."""
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_send_message_length", MAX_RESPONSE_BYTES),
    # Two servers on one port would share its connections without an error.
    ("grpc.so_reuseport", 0),
    # A connection that stays silent does not hold a file descriptor for long.
    ("grpc.server_handshake_timeout_ms", HANDSHAKE_SECONDS * 1000),
    ("grpc.max_connection_idle_ms", IDLE_SECONDS * 1000),
    ("grpc.max_allowed_incoming_connections", MAX_CONNECTIONS),
    # A watcher that disappears is noticed, and its stream ends.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)


class Port(NamedTuple):
    """``host:port`` to listen on, and the certificates: the CA is that of the clients."""

    address: str
    files: Files


class PluginServer:
    """The server, as an async context manager.

    ``live`` reads the objects of Karmada for plans, and ``meter`` measures the traffic. Raises on entering
    SocketUnusable if the socket or port cannot be used, and UsageError if the certificates cannot be used."""

    def __init__(
        self,
        inventory: Inventory,
        aggregation: Aggregation,
        live: Live,
        *,
        explainer: Explainer | None = None,
        meter: Meter | None = None,
        socket: Path | None = None,
        port: Port | None = None,
    ) -> None:
        self._path = socket.absolute() if socket else None
        self._file: socketfile.FileId | None = None
        self._port = port
        self.number = 0
        """The port in use, 0 before there is one."""
        self._is_in_sync = False

        def in_sync() -> bool:
            return self._is_in_sync

        explainer = explainer or Explainer(inventory)
        self._inventory = InventoryServicer(inventory, explainer, meter or Meter(), in_sync)
        self._planner = PlannerServicer(inventory.world, explainer, live, in_sync)
        self._reviewer = ReviewerServicer(inventory, aggregation, in_sync)
        self._health = HealthServicer(("", *SERVICES))
        self._server: grpc.aio.Server | None = None

    async def __aenter__(self) -> Self:
        try:
            if self._path is None:
                await self._start()
            else:
                with socketfile.placed(self._path) as path:
                    await self._start(path)
                self._file = socketfile.file_id(self._path)
        except BaseException:
            await self._stop(0)
            raise
        log.info("listening", socket=str(self._path or ""), port=self.number)
        return self

    async def _start(self, path: Path | None = None) -> None:
        self._server = server = grpc.aio.server(
            interceptors=[Interceptor()], options=_OPTIONS, maximum_concurrent_rpcs=MAX_CALLS
        )
        inventory_pb2_grpc.add_InventoryServicer_to_server(self._inventory, server)
        planner_pb2_grpc.add_PlannerServicer_to_server(self._planner, server)
        reviewer_pb2_grpc.add_ReviewerServicer_to_server(self._reviewer, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection((*SERVICES, reflection.SERVICE_NAME), server)
        if path is not None:
            try:
                server.add_insecure_port(f"unix:{path}")
            except RuntimeError as error:
                raise SocketUnusable(f"socket {self._path}: {error}") from None
        if self._port is not None:
            credentials = for_server(self._port.files)
            try:
                self.number = server.add_secure_port(self._port.address, credentials)
            except RuntimeError as error:
                raise SocketUnusable(f"port {self._port.address}: {error}") from None
        await server.start()

    async def _stop(self, grace: float) -> None:
        if self._server is not None:
            await self._server.stop(grace)

    async def check(self) -> str:
        """Send a request through the socket, and return why it was not answered, empty if it was.

        Without a socket the reviewer is called directly: the port needs the certificate of a client.
        """
        obj = b'{"apiVersion":"flomesh.io/v1alpha1","kind":"ServiceExport"}'
        request = reviewer_pb2.InterpretHealthRequest(object=obj)
        if self._path is None:
            is_healthy = self._reviewer.interpret_health(request).healthy
        else:
            options = (("grpc.use_local_subchannel_pool", 1),)
            async with grpc.aio.insecure_channel(f"unix:{self._path}", options=options) as channel:
                stub = reviewer_pb2_grpc.ReviewerStub(channel)
                try:
                    is_healthy = (await stub.InterpretHealth(request, timeout=CHECK_SECONDS)).healthy
                except grpc.aio.AioRpcError as error:
                    return f"The gRPC server does not answer: {error.code().name}."
        return "" if is_healthy else "The gRPC server answers wrongly."

    def in_sync(self) -> None:
        """Start to answer calls: the initial sync is complete."""
        self._is_in_sync = True
        self._health.start_serving()

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._health.stop()
        self._inventory.stop()
        self._reviewer.stop()
        try:
            await self._stop(GRACE_SECONDS)
            await self._planner.stop()
        finally:
            if self._path is not None:
                socketfile.remove(self._path, self._file)

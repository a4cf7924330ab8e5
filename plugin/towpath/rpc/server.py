"""Serving the contract on a unix socket, with the standard health service beside it.

Health is NOT_SERVING from the start, SERVING once the world is known, and NOT_SERVING again while the
server stops: who waits for SERVING never gets an answer from half a world.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import grpc.aio
import structlog
from grpc_health.v1 import health_pb2_grpc

from towpath.errors import SocketUnusable
from towpath.incremental import Incremental
from towpath.proto.v1alpha1 import inventory_pb2, inventory_pb2_grpc, planner_pb2, planner_pb2_grpc
from towpath.rpc import socketfile
from towpath.rpc.health import HealthServicer
from towpath.rpc.servicer import InventoryServicer, PlannerServicer

log = structlog.get_logger()
SERVICES: tuple[str, ...] = tuple(
    service.full_name
    for file in (planner_pb2, inventory_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
)
GRACE = 2.0
"""Seconds that calls in flight have to end when the server stops."""


class PluginServer:
    """The server: starts and stops as an async context manager.

    Raises SocketUnusable on entering if another process answers on the socket or it cannot be made.
    """

    def __init__(self, world: Incremental, socket: Path) -> None:
        self._path = socket.absolute()
        self._file: socketfile.Identity | None = None
        self._inventory = InventoryServicer(world)  # type: ignore[abstract]
        self._planner = PlannerServicer(world)  # type: ignore[abstract]
        self._health = HealthServicer(("", *SERVICES))
        self._server: grpc.aio.Server | None = None

    async def __aenter__(self) -> Self:
        try:
            with socketfile.placed(self._path) as path:
                await self._start(path)
        except BaseException:
            await self._stop(0)
            raise
        self._file = socketfile.identity(self._path)
        log.info("answering", socket=str(self._path))
        return self

    async def _start(self, path: Path) -> None:
        self._server = grpc.aio.server()
        inventory_pb2_grpc.add_InventoryServicer_to_server(self._inventory, self._server)
        planner_pb2_grpc.add_PlannerServicer_to_server(self._planner, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        try:
            self._server.add_insecure_port(f"unix:{path}")
        except RuntimeError as error:
            raise SocketUnusable(f"socket {self._path}: {error}") from None
        await self._server.start()

    async def _stop(self, grace: float) -> None:
        if self._server is not None:
            await self._server.stop(grace)

    def in_sync(self) -> None:
        """Say that the source is complete: from now on calls are answered."""
        self._inventory.in_sync = self._planner.in_sync = True
        self._health.serving()

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._health.stop()
        try:
            await self._stop(GRACE)
        finally:
            socketfile.remove(self._path, self._file)

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
from towpath.proto.v1alpha1 import plugin_pb2, plugin_pb2_grpc
from towpath.rpc import socketfile
from towpath.rpc.health import HealthServicer
from towpath.rpc.servicer import PluginServicer

log = structlog.get_logger()
SERVICE: str = plugin_pb2.DESCRIPTOR.services_by_name["Plugin"].full_name
GRACE = 2.0
"""Seconds that calls in flight have to end when the server stops."""


class PluginServer:
    """The server: starts and stops as an async context manager.

    Raises SocketUnusable on entering if another process answers on the socket or it cannot be made.
    """

    def __init__(self, world: Incremental, socket: Path) -> None:
        self._path = socket.absolute()
        self._file: socketfile.Identity | None = None
        self._servicer = PluginServicer(world)
        self._health = HealthServicer(("", SERVICE))
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
        plugin_pb2_grpc.add_PluginServicer_to_server(self._servicer, self._server)
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
        self._servicer.in_sync = True
        self._health.serving()

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._health.stop()
        try:
            await self._stop(GRACE)
        finally:
            socketfile.remove(self._path, self._file)

"""The standard health service: is the plugin in sync?

grpcio-health-checking's own servicer never ends a watch, so a server that stops would have to wait for
its watchers and cut them off. This one tells them NOT_SERVING and ends. It never waits for a watcher
that does not read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection

import grpc
from grpc.aio import ServicerContext
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

Context = ServicerContext[HealthCheckRequest, HealthCheckResponse]


class HealthServicer(health_pb2_grpc.HealthServicer):
    """One status for all the services named; the others are unknown. NOT_SERVING at first."""

    def __init__(self, services: Collection[str]) -> None:
        self._services = services
        self._status: int = HealthCheckResponse.NOT_SERVING
        self._changed = asyncio.Event()
        self._stopped = False

    def serving(self) -> None:
        """Say that the services answer."""
        self._become(HealthCheckResponse.SERVING)

    def stop(self) -> None:
        """Say that they no longer do, and end every watch."""
        self._stopped = True
        self._become(HealthCheckResponse.NOT_SERVING)

    def _become(self, status: int) -> None:
        self._status = status
        self._changed.set()
        self._changed = asyncio.Event()

    async def Check(  # noqa: N802 - named by the standard
        self, request: HealthCheckRequest, context: Context
    ) -> HealthCheckResponse:
        """Answer with the status now. NOT_FOUND if there is no such service."""
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no service {request.service!r}")
        return HealthCheckResponse(status=self._status)

    async def Watch(  # noqa: N802 - named by the standard
        self, request: HealthCheckRequest, _context: Context
    ) -> AsyncIterator[HealthCheckResponse]:
        """Send the status now and whenever it changes, until the server stops."""
        known = request.service in self._services
        while True:
            changed, last = self._changed, self._stopped
            yield HealthCheckResponse(status=self._status if known else HealthCheckResponse.SERVICE_UNKNOWN)
            if last:
                return
            await changed.wait()

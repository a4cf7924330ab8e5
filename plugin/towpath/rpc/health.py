"""The standard gRPC health service: SERVING while the plugin is in sync with Karmada.

The servicer of grpcio-health-checking never ends a watch, so a server that stops would have to wait for its
watchers and then cut them off. This one sends NOT_SERVING and ends. It never waits for a watcher that does
not read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection

import grpc
from grpc.aio import ServicerContext
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

Context = ServicerContext[HealthCheckRequest, HealthCheckResponse]


class HealthServicer(health_pb2_grpc.HealthServicer):
    """One status for all the named services; others are unknown. NOT_SERVING at first."""

    def __init__(self, services: Collection[str]) -> None:
        self._services = services
        self._status: int = HealthCheckResponse.NOT_SERVING
        self._changed = asyncio.Event()
        self._is_stopped = False

    def start_serving(self) -> None:
        """Report SERVING."""
        self._set(HealthCheckResponse.SERVING)

    def stop(self) -> None:
        """Report NOT_SERVING and end every watch."""
        self._is_stopped = True
        self._set(HealthCheckResponse.NOT_SERVING)

    def _set(self, status: int) -> None:
        self._status = status
        self._changed.set()
        self._changed = asyncio.Event()

    async def Check(  # noqa: N802 - named by the standard
        self, request: HealthCheckRequest, context: Context
    ) -> HealthCheckResponse:
        """Return the present status. NOT_FOUND if there is no such service."""
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"Service {request.service!r} does not exist.")
        return HealthCheckResponse(status=self._status)

    async def Watch(  # noqa: N802 - named by the standard
        self, request: HealthCheckRequest, _context: Context
    ) -> AsyncIterator[HealthCheckResponse]:
        """Send the present status, and each later one, until the server stops."""
        is_known = request.service in self._services
        while True:
            changed, is_last = self._changed, self._is_stopped
            yield HealthCheckResponse(
                status=self._status if is_known else HealthCheckResponse.SERVICE_UNKNOWN
            )
            if is_last:
                return
            await changed.wait()

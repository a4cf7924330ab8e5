"""The HTTP server for kubelets, Prometheus and operators: liveness, readiness and metrics.

    /healthz   200 while the process can do its work, 500 otherwise: restart it
    /readyz    200 once every kind has been listed, 503 before, naming the missing kinds; 503 with the reason
               while there is a problem that only an operator can solve; ?verbose lists all kinds
    /metrics   Prometheus text format, or OpenMetrics if the client accepts it; compressed if it accepts that

The server is aiohttp's: the plugin has aiohttp in memory already, and an idle server costs nothing (uvicorn
wakes the event loop ten times a second). /healthz runs ``check``, which sends a request down the path that
answers requests: a process whose health endpoint works while that path is stuck is not healthy.

Nothing is logged unless a callback raises. A connection that sends nothing, or half a request, is closed
after ``KEEP_ALIVE_SECONDS``; the length of a request line and the number of connections are limited. There is
no TLS and no authentication: listen on an address that only the intended clients reach."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Self

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

from towpath.serving.listening import LOGGER, Connections, listen

log = structlog.get_logger()

KEEP_ALIVE_SECONDS = 20.0
"""Time that a connection may be silent. Kubelets open one for each probe; Prometheus reconnects."""
MAX_LINE_BYTES = 2048
"""Length of the request line, and of a header."""
MAX_CONNECTIONS = 64
GRACE_SECONDS = 1.0
"""Time for responses in flight when the server stops."""
CHECK_SECONDS = 2.0
"""Time for ``check``: a kubelet waits one second by default, and is told the reason if it waits longer."""

Check = Callable[[], Awaitable[str]]
"""Returns why the process cannot do its work; empty if it can."""


class HealthServer:
    """Serves at ``address`` (HOST:PORT), as an async context manager. ``port`` is the port in use.

    Port 0 takes a free port. Raises on entering UsageError if ``address`` is malformed, SocketUnusable if the
    server cannot listen there.
    """

    def __init__(
        self,
        address: str,
        *,
        synced: Callable[[], Mapping[str, bool]],
        check: Check,
        metrics: CollectorRegistry,
        problem: Callable[[], str] = lambda: "",
    ) -> None:
        self.port = 0
        self._address = address
        self._synced, self._check, self._problem = synced, check, problem
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", make_aiohttp_handler(metrics))
        app.on_response_prepare.append(_set_headers)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=LOGGER,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            lingering_time=GRACE_SECONDS,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
            shutdown_timeout=GRACE_SECONDS,
        )
        self._connections = Connections(self._runner)
        self._listener: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        bound = listen(self._address, "--health")
        self.port = bound.getsockname()[1]
        try:
            await self._runner.setup()
            self._listener = await asyncio.get_running_loop().create_server(self._connection, sock=bound)
        except BaseException:
            bound.close()
            raise
        log.info(
            "listening", address=bound.getsockname()[0], port=self.port, paths="/healthz /readyz /metrics"
        )
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._listener is not None:
            self._listener.close()
        await self._runner.cleanup()

    def _connection(self) -> asyncio.Protocol:
        return self._connections.accept(MAX_CONNECTIONS)

    async def _healthz(self, _request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                problem = await self._check()
        except TimeoutError:
            problem = f"The request path did not answer within {CHECK_SECONDS:g} s."
        if problem:
            return web.Response(status=500, text=f"{problem} See the log, and restart the process.\n")
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        kinds = self._synced()
        missing = sorted(kind for kind, is_synced in kinds.items() if not is_synced)
        problem = self._problem()
        is_ready = bool(kinds) and not missing and not problem
        if "verbose" in request.query:
            lines = [f"[{'+' if is_synced else '-'}] {kind}" for kind, is_synced in sorted(kinds.items())]
        else:
            lines = [f"not synced: {', '.join(missing)}"] if missing else []
        lines += [problem] if problem else []
        lines.append("ready" if is_ready else "not ready")
        return web.Response(status=200 if is_ready else 503, text="\n".join(lines) + "\n")


async def _set_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "towpath"
    response.headers["Cache-Control"] = "no-store"
    response.headers["Vary"] = "Accept, Accept-Encoding"

"""What kubelets, Prometheus and people ask over HTTP: is it alive, does it know everything, what has it done.

    /healthz   200 while the process is of use, 500 once its tasks have died: restart it
    /readyz    200 once every kind has been listed, 503 before, naming what is missing; 503 with the reason
               while there is a problem that only an operator can solve; ?verbose names all kinds
    /metrics   Prometheus' text format, or OpenMetrics for who asks for it; gzip for who takes it

It is aiohttp's server, because the plugin has aiohttp in memory already and because it costs nothing while
nobody asks: uvicorn wakes the event loop ten times a second. An answer is made at once, in the event loop
whose life it proves; nothing is logged unless a callback raises. A connection that says nothing, or half a
request, is closed after ``KEEP_ALIVE`` seconds, a request line has a limit, and so has the number of
connections. There is no TLS and no login: listen on an address that only those reach who may know.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from towpath.errors import SocketUnusable

log = structlog.get_logger()

KEEP_ALIVE = 20.0
"""Seconds that a connection may be silent. Kubelets open one for each probe; a scraper reconnects."""
LONGEST_LINE = 2048
"""Bytes of the request line, and of a header."""
MOST_CONNECTIONS = 64
GRACE = 1.0
"""Seconds that answers on their way have when the server stops."""
_SMALL = 1000
"""Bytes below which compressing saves no packet."""
_PLAIN = "text/plain; charset=utf-8"

Exposition = Callable[[str], tuple[bytes, str]]
"""From an Accept header to the metrics and their content type: ``Metrics.exposition``."""


class HealthServer:
    """Serves at ``address``, as an async context manager. ``port`` is the one that it has then.

    ``address`` is ``host:port``, ``[IPv6]:port`` or ``:port`` for all interfaces; port 0 takes a free one.
    Raises SocketUnusable on entering if it cannot listen there.
    """

    def __init__(
        self,
        address: str,
        *,
        synced: Callable[[], Mapping[str, bool]],
        alive: Callable[[], bool],
        metrics: Exposition,
        problem: Callable[[], str] = lambda: "",
    ) -> None:
        self.port = 0
        self._address = address
        self._synced, self._alive, self._metrics, self._problem = synced, alive, metrics, problem
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._exposed)
        app.on_response_prepare.append(_head)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=_LOGGER,
            keepalive_timeout=KEEP_ALIVE,
            lingering_time=GRACE,
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_LINE,
            shutdown_timeout=GRACE,
        )
        self._listener: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        bound = _listener(self._address)
        self.port = bound.getsockname()[1]
        try:
            await self._runner.setup()
            self._listener = await asyncio.get_running_loop().create_server(self._connection, sock=bound)
        except BaseException:
            bound.close()
            raise
        log.info(
            "answering", address=bound.getsockname()[0], port=self.port, paths="/healthz /readyz /metrics"
        )
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._listener is not None:
            self._listener.close()
        await self._runner.cleanup()

    def _connection(self) -> asyncio.Protocol:
        server = self._runner.server
        if server is None or len(server.connections) >= MOST_CONNECTIONS:
            return _Closed()
        return server()

    async def _healthz(self, _request: web.Request) -> web.Response:
        if self._alive():
            return web.Response(text="ok\n")
        return web.Response(status=500, text="the controller has died: see the log, and restart it\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        kinds = self._synced()
        missing = sorted(kind for kind, there in kinds.items() if not there)
        problem = self._problem()
        ready = bool(kinds) and not missing and not problem
        if "verbose" in request.query:
            lines = [f"[{'+' if there else '-'}] {kind}" for kind, there in sorted(kinds.items())]
        else:
            lines = [f"not synced: {', '.join(missing)}"] if missing else []
        lines += [problem] if problem else []
        lines.append("ready" if ready else "not ready")
        return web.Response(status=200 if ready else 503, text="\n".join(lines) + "\n")

    async def _exposed(self, request: web.Request) -> web.Response:
        body, content_type = self._metrics(request.headers.get("Accept", ""))
        headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
        if len(body) > _SMALL and _takes_gzip(request.headers.get("Accept-Encoding", "")):
            body = gzip.compress(body, compresslevel=1, mtime=0)
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=body, headers=headers)


class _Closed(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


async def _head(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "towpath"
    response.headers["Cache-Control"] = "no-store"


def _takes_gzip(accepted: str) -> bool:
    """Whether an Accept-Encoding header names gzip, and not with weight 0."""
    for one in accepted.lower().split(","):
        coding, _, weight = one.replace(" ", "").partition(";q=")
        if coding == "gzip":
            return weight.strip("0.") != "" or not weight
    return False


def _listener(address: str) -> socket.socket:
    host, colon, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    number = int(port) if port.isascii() and port.isdecimal() else -1
    if not colon or number not in range(65536) or (":" in host and not bracketed):
        raise SocketUnusable(f"cannot listen on {address!r}: give host:port, for example 127.0.0.1:9440")
    host = host.strip("[]")
    both = not host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both or bracketed else socket.AF_INET
    try:
        found = socket.getaddrinfo(host or None, number, family, socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return socket.create_server(found[0][4], family=family, dualstack_ipv6=both)
    except OSError as error:
        what = (error.strerror or str(error)).partition(" (while ")[0]  # the rest says the address again
    except UnicodeError:
        what = "no such name"
    raise SocketUnusable(f"cannot listen on {address}: {what}")


def _unasked(record: logging.LogRecord) -> bool:
    """Leave out what a client does wrong: it has been told."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_LOGGER = logging.getLogger(__name__)
_LOGGER.addFilter(_unasked)

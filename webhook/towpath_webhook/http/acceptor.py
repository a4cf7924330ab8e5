"""Accepts connections: with a deadline for the TLS handshake, and with a limit on their number.

At the limit a new connection replaces the one that has waited longest for its client: in the handshake,
between two requests, or in the middle of one. So a client that opens connections and sends nothing cannot
keep others out. A client that does not read its responses is disconnected by the kernel after
``SEND_SECONDS`` (TCP_USER_TIMEOUT).

If the process has no file descriptors left, that is logged, and accepting goes on after a pause.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
import time
from collections.abc import Callable, Collection
from contextlib import suppress

import structlog

from towpath_webhook.http.protocol import LimitedProtocol
from towpath_webhook.metrics import Metrics

MAX_CONNECTIONS = 256
HANDSHAKE_SECONDS = 5.0
SHUTDOWN_SECONDS = 1.0
"""Time for the close_notify of a client."""
SEND_SECONDS = 10
PATIENCE_SECONDS = 1.0
"""A connection that has waited for less is not replaced."""
_PAUSE_SECONDS = 0.25
_LOG_INTERVAL_SECONDS = 10.0
_RESERVED_DESCRIPTORS = 128
"""File descriptors for everything but the connections of clients."""

log = structlog.get_logger()


class Acceptor:
    """Accepts on a listener until closed. ``connections`` are those that have passed the handshake."""

    def __init__(
        self,
        listener: socket.socket,
        tls: ssl.SSLContext,
        protocol: Callable[[], LimitedProtocol],
        connections: Collection[LimitedProtocol],
        metrics: Metrics,
    ) -> None:
        self._listener, self._tls, self._protocol = listener, tls, protocol
        self._connections, self._metrics = connections, metrics
        self._handshakes: dict[asyncio.Task[None], float] = {}
        self._limit = min(
            MAX_CONNECTIONS, max(1, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _RESERVED_DESCRIPTORS)
        )
        self._logged_at = -_LOG_INTERVAL_SECONDS
        metrics.connections.set_function(self._number)
        listener.setblocking(False)
        with suppress(AttributeError, OSError):  # Linux only; accepted sockets inherit it
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SEND_SECONDS * 1000)
        listener.listen(self._limit)
        self._accepting = asyncio.create_task(self._accept())

    def close(self) -> None:
        """Stop accepting, and end the handshakes."""
        self._accepting.cancel()
        for handshake in self._handshakes:
            handshake.cancel()
        self._listener.close()

    async def wait_closed(self) -> None:
        """Return once nothing is accepted any more."""
        await asyncio.wait([self._accepting, *self._handshakes])

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(self._listener)
            except OSError as error:
                self._log_failure(error)
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            if self._number() >= self._limit and not self._replace():
                self._metrics.connections_closed["limit"].inc()
                accepted.close()
                continue
            handshake = loop.create_task(self._shake_hands(accepted))
            self._handshakes[handshake] = loop.time()
            handshake.add_done_callback(self._handshakes.pop)

    async def _shake_hands(self, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                self._protocol,
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=SHUTDOWN_SECONDS,
            )
        except (OSError, TimeoutError):  # ssl.SSLError is an OSError
            self._metrics.connections_closed["handshake"].inc()
            accepted.close()
        except asyncio.CancelledError:
            accepted.close()
            raise

    def _number(self) -> int:
        return len(self._connections) + len(self._handshakes)

    def _replace(self) -> bool:
        """Close the connection that has waited longest for its client. Return whether there is one."""
        before = asyncio.get_running_loop().time() - PATIENCE_SECONDS
        handshake, started = next(iter(self._handshakes.items()), (None, before))
        idle = min(
            (connection for connection in self._connections if connection.waiting_since),
            key=lambda connection: connection.waiting_since,
            default=None,
        )
        if idle is not None and idle.waiting_since < min(before, started):
            idle.transport.abort()
        elif handshake is not None and started < before:
            handshake.cancel()
        else:
            return False
        self._metrics.connections_closed["evicted"].inc()
        return True

    def _log_failure(self, error: OSError) -> None:
        now = time.monotonic()
        if now - self._logged_at >= _LOG_INTERVAL_SECONDS:
            self._logged_at = now
            log.error("cannot accept connections", error=error.strerror, connections=self._number())

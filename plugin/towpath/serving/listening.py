"""What HTTP servers of aiohttp share: the socket to listen on, the limit of connections, the logger."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from towpath.errors import SocketUnusable
from towpath.serving.host_port import parse_host_port

PATIENCE_SECONDS = 1.0
"""A connection that is younger is not replaced."""


class _ClosedAtOnce(asyncio.Protocol):
    """A connection beyond the limit."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it."""
        transport.close()


class Connections:
    """Makes the protocol of each new connection of a server.

    At the limit a new connection replaces the oldest that waits for its client: one that opens connections
    and sends nothing keeps no probe of a kubelet out.
    """

    def __init__(self, runner: web.AppRunner) -> None:
        self._runner = runner
        self._opened: dict[asyncio.Protocol, float] = {}

    def accept(self, limit: int) -> asyncio.Protocol:
        """Return the protocol for a new connection; one that closes it if there is no room."""
        server = self._runner.server
        if server is None:
            return _ClosedAtOnce()
        now = asyncio.get_running_loop().time()
        there = [h for h in server.connections if h.transport is not None and not h.transport.is_closing()]
        if len(there) >= limit and not self._replace(there, now):
            return _ClosedAtOnce()
        made = server()
        self._opened = {known: self._opened.get(known, now) for known in there}
        self._opened[made] = now
        return made

    def _replace(self, there: Sequence[web.RequestHandler], now: float) -> bool:
        for handler in there:  # the oldest first
            is_old = self._opened.get(handler, now) <= now - PATIENCE_SECONDS
            if is_old and handler._current_request is None and handler.transport is not None:  # noqa: SLF001
                handler.transport.abort()
                return True
        return False


def listen(address: str, option: str) -> socket.socket:
    """Return a socket that listens at ``HOST:PORT``; an empty host means all interfaces.

    Raises UsageError naming the option if the address is malformed, SocketUnusable if it cannot be used.
    """
    host, port = parse_host_port(address, option)
    is_dual_stack = not host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if is_dual_stack or ":" in host else socket.AF_INET
    try:
        found = socket.getaddrinfo(host or None, port, family, socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return socket.create_server(found[0][4], family=family, dualstack_ipv6=is_dual_stack)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (while ")[0]  # the rest repeats the address
    except UnicodeError:
        reason = "No such host name"
    raise SocketUnusable(f"cannot listen on {address}: {reason}")


def _is_server_error(record: logging.LogRecord) -> bool:
    """Filter out errors of clients: the client has received them."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


LOGGER = logging.getLogger(__name__)
LOGGER.addFilter(_is_server_error)

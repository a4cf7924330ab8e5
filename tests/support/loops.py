"""The event loop of tests: it ends when the connections that were closed in it have ended.

Closing a connection takes some turns of its loop, over TLS until the other end has answered. A loop that ends
before that leaves a socket behind, which a test that comes later is blamed for: the more often, the busier
the machine. What a test never closes is still reported.
"""

from __future__ import annotations

import asyncio
import time
from asyncio import sslproto
from typing import Any

_PATIENCE = 5.0
_TURN = 0.01
_ENDING = (sslproto.SSLProtocolState.FLUSHING, sslproto.SSLProtocolState.SHUTDOWN)


class TidyLoop(asyncio.SelectorEventLoop):
    """A loop that lets connections end before it closes."""

    def close(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not self.is_closed() and self._has_ending() and time.monotonic() < deadline:
            self.run_until_complete(asyncio.sleep(_TURN))
        super().close()

    def _has_ending(self) -> bool:
        open_transports: Any = self._transports  # type: ignore[attr-defined]  # asyncio shows them nowhere
        return any(_is_ending(transport) for transport in list(open_transports.values()))


def _is_ending(transport: Any) -> bool:
    """Tell whether a connection was closed, but its socket is still open."""
    is_closed = transport.is_closing() or getattr(transport.get_protocol(), "_state", None) in _ENDING
    return is_closed and transport.get_extra_info("socket").fileno() >= 0

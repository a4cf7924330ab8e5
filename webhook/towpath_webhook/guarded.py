"""An absolute deadline for receiving a request, which uvicorn has not.

Without it a client that sends half a request, or connects and says nothing, holds its connection for ever
(facts B, measured). The clock runs from the connection, or from the first byte of a later request, to the
last byte of the request; how slowly the bytes arrive does not matter. Between requests ``timeout_keep_alive``
counts.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

KNOWN = "towpath.known"
"""Extension in the scope of a request whose client has shown a certificate that was asked for."""


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, with the deadline."""

    receive_seconds: ClassVar[float] = 10.0
    _deadline: asyncio.TimerHandle | None = None
    _known = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock: the first request is due."""
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        self._known = tls is not None and bool(tls.getpeercert())
        self._start()

    def on_message_begin(self) -> None:
        """Start the clock for a later request."""
        self._start()
        super().on_message_begin()
        self.scope["extensions"] = {KNOWN: {}} if self._known else {}

    def on_message_complete(self) -> None:
        """Stop the clock: the request is here."""
        self._stop()
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock for good."""
        self._stop()
        super().connection_lost(exc)

    def _start(self) -> None:
        if self._deadline is None:
            # Not close(): that would wait for the peer's part of TLS's good-bye.
            self._deadline = self.loop.call_later(self.receive_seconds, self.transport.abort)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

"""Two things that uvicorn has not: an absolute deadline for receiving a request, and one write an answer.

Without it a client that sends half a request, or connects and says nothing, holds its connection for ever
(facts B, measured). The clock runs from the connection, or from the first byte of a later request, to the
last byte of the request; how slowly the bytes arrive does not matter. Between requests ``timeout_keep_alive``
counts.

uvicorn writes an answer's head and body one after the other: with TLS two records and two system calls, which
is the larger part of what an answer costs (measured). Here all that is written in one turn of the event loop
goes out together.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

KNOWN = "towpath.known"
"""Extension in the scope of a request whose client has shown a certificate that was asked for."""


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, with both."""

    receive_seconds: ClassVar[float] = 10.0
    _deadline: asyncio.TimerHandle | None = None
    _is_receiving = False
    _known = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock: the first request is due."""
        super().connection_made(cast("asyncio.Transport", _Joining(transport, self.loop)))
        tls = transport.get_extra_info("ssl_object")
        self._known = tls is not None and bool(tls.getpeercert())
        self._start()

    def data_received(self, data: bytes) -> None:
        """Start the clock for a later request, unless all of it has come at once: most do."""
        super().data_received(data)
        if self._is_receiving:
            self._start()

    def on_message_begin(self) -> None:
        """Begin to receive a request."""
        self._is_receiving = True
        super().on_message_begin()
        self.scope["extensions"] = {KNOWN: {}} if self._known else {}

    def on_message_complete(self) -> None:
        """Stop the clock: the request is here."""
        self._is_receiving = False
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


class _Joining:
    """A transport that writes once what it is given in one turn of the loop."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pieces: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Tell whether it is closed: asked after every answer, so not by ``__getattr__``."""
        return self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Keep it until the end of this turn."""
        if not self._pieces:
            self._loop.call_soon(self._flush)
        self._pieces.append(data)

    def close(self) -> None:
        """Close when all has been written."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        pieces, self._pieces = self._pieces, []
        if pieces and not self._transport.is_closing():
            self._transport.write(b"".join(pieces))

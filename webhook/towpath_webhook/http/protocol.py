"""The HTTP/1.1 protocol of uvicorn, with limits that it lacks, and with one write for each response.

* A request must arrive within ``receive_seconds``, counted from the connection or from the first byte of a
  later request to its last byte. Without it a client that sends half a request holds its connection for ever.
* A request line and headers have at most ``MAX_HEAD_BYTES``, and a message has a limit as well: that of a
  body, and some for its framing.
* uvicorn writes the head and the body of a response separately: two TLS records and two system calls, the
  larger part of the cost of a response. Here everything that is written in one iteration of the event loop is
  written at once."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from towpath_webhook.http.app import CLIENT_CERTIFICATE, MAX_BODY_BYTES

MAX_HEAD_BYTES = 16 << 10
_MAX_MESSAGE_BYTES = MAX_BODY_BYTES + (1 << 20)
_HEAD_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n"
    b"The request line and headers exceed %d bytes. Send fewer.\n" % MAX_HEAD_BYTES
)


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with limits. ``waiting_since`` is when it began to wait for its client, 0.0 if it
    does not."""

    receive_seconds: ClassVar[float] = 10.0
    waiting_since = 0.0
    _deadline: asyncio.TimerHandle | None = None
    _is_receiving = False
    _is_in_head = True
    _message_bytes = 0
    _has_certificate = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the deadline of the first request."""
        super().connection_made(cast("asyncio.Transport", _CoalescingTransport(transport, self.loop)))
        tls = transport.get_extra_info("ssl_object")
        self._has_certificate = tls is not None and bool(tls.getpeercert())
        self.waiting_since = self.loop.time()
        self._start_deadline()

    def data_received(self, data: bytes) -> None:
        """Start the deadline of a later request, unless it has arrived at once, and check the limits."""
        self._message_bytes += len(data)
        super().data_received(data)
        if self._is_receiving:
            self._start_deadline()
        if self._message_bytes > (MAX_HEAD_BYTES if self._is_in_head else _MAX_MESSAGE_BYTES):
            self._reject()

    def on_message_begin(self) -> None:
        """Begin to receive a request."""
        self._is_receiving = True
        super().on_message_begin()
        self.scope["extensions"] = {CLIENT_CERTIFICATE: {}} if self._has_certificate else {}

    def on_headers_complete(self) -> None:
        """Check the size of a head that has arrived at once."""
        self._is_in_head = False
        if self._message_bytes > MAX_HEAD_BYTES:
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > MAX_HEAD_BYTES:
                self._is_in_head = True
                raise ValueError("the head is too large")  # the parser stops, and data_received rejects
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Stop the deadline: the request is complete."""
        self._is_receiving, self._is_in_head = False, True
        self._message_bytes = 0
        self.waiting_since = 0.0
        self._stop_deadline()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self.waiting_since = self.loop.time()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer a malformed request, unless it is malformed only because its head is too large."""
        if not (self._is_in_head and self._message_bytes > MAX_HEAD_BYTES):
            super().send_400_response(msg)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the deadline for good."""
        self._stop_deadline()
        super().connection_lost(exc)

    def _reject(self) -> None:
        if self._is_in_head:
            self.transport.write(_HEAD_TOO_LARGE)
            self.transport.close()
        else:
            self.transport.abort()

    def _start_deadline(self) -> None:
        if self._deadline is None:
            # Not close(): that would wait for the close_notify of the client.
            self._deadline = self.loop.call_later(self.receive_seconds, self.transport.abort)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _CoalescingTransport:
    """A transport that writes at once what it receives in one iteration of the event loop."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pieces: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Return whether it is closed. Called after every response, so faster than ``__getattr__``."""
        return self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Keep the data until the end of this iteration."""
        if not self._pieces:
            self._loop.call_soon(self._flush)
        self._pieces.append(data)

    def close(self) -> None:
        """Write everything and close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        pieces, self._pieces = self._pieces, []
        if pieces and not self._transport.is_closing():
            self._transport.write(b"".join(pieces))

"""The process's side: a TLS listener, uvicorn on it until cancelled, and a graceful end.

The listener is made here and not by uvicorn, which would exit the process over a taken port. Its TLS context
is that of ``certificates_keeping``, which changes the certificate in it while the server runs.

The end has two parts. First the process says that it is not ready any more and closes every connection after
its answer, but goes on answering: whoever spreads the calls needs a moment to hear of it. Then it stops
listening and lets the calls in flight end.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Sequence
from functools import partial

import structlog
import uvicorn

from towpath.errors import SocketUnusable
from towpath_webhook.admission.hooks import MUTATING, VALIDATING
from towpath_webhook.certificates.keeper import Certificates
from towpath_webhook.http.app import App, Message, Receive, Scope, Send
from towpath_webhook.http.protocol import KNOWN, GuardedProtocol

KEEP_ALIVE = 120
"""Seconds an idle connection is kept. An apiserver drops its own after 90: none may be closed under it."""
GRACE = 3
"""Seconds for calls in flight when the server ends: no apiserver waits longer for their answers."""

DRAIN = 5.0
"""Seconds from not being ready to not listening: for those who spread calls over several webhooks."""

log = structlog.get_logger()


async def serve(app: App, host: str, port: int, certificates: Certificates, *, drain: float = DRAIN) -> None:
    """Serve until cancelled, then stop gracefully, ``drain`` seconds after readiness is off.

    Raises UsageError if the certificate cannot be used, SocketUnusable if the port cannot.
    """
    with _bound(host, port) as listener:
        await certificates.begin()
        server = _Server(_config(_Door(app, known_only=certificates.context.asks), certificates))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        keeping = asyncio.create_task(certificates.keep())
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            app.ending = True
            log.info("ending", seconds=drain)
            with contextlib.suppress(asyncio.CancelledError):  # told twice: at once
                await asyncio.sleep(drain)
            server.should_exit = True
            await serving
            raise
        finally:
            keeping.cancel()


def _config(application: _Door, certificates: Certificates) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        http=GuardedProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        ssl_context_factory=lambda _config, _default: certificates.context.ssl,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )


class _Door:
    """What stands before the application: who is let in, and how it ends.

    When it ends it is not ready, and an answer is its connection's last.
    """

    def __init__(self, app: App, *, known_only: bool) -> None:
        self._app, self._known_only = app, known_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._known_only and scope["path"] in _ADMISSION and KNOWN not in scope["extensions"]:
            await _refuse(scope, send)
        elif self._app.ending:
            await self._app(scope, receive, partial(_send_last, scope["path"], send))
        else:
            await self._app(scope, receive, send)


_ADMISSION = frozenset(hook.path for hook in (*MUTATING, *VALIDATING))


async def _refuse(scope: Scope, send: Send) -> None:
    body = b"admission is answered to clients with a certificate only (--client-ca)\n"
    length = str(len(body)).encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", length), (b"connection", b"close")]
    log.warning("refused", path=scope["path"], status=403, reason="no client certificate")
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _send_last(path: str, send: Send, message: Message) -> None:
    if message["type"] == "http.response.start":
        status = 503 if path == "/readyz" else message["status"]
        headers = [*message["headers"], (b"connection", b"close")]
        message = {**message, "status": status, "headers": headers}
    await send(message)


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs the loop: the command line cancels ``serve``."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: Sequence[socket.socket] | None = None) -> None:
        await super().startup(list(sockets or ()))
        for listener in sockets or ():
            log.info("answering", address=listener.getsockname()[0], port=listener.getsockname()[1])


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket at an address. It does not listen: nobody shall wait while there is no certificate."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
    except OSError as error:
        made.close()
        raise SocketUnusable(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    return made

"""The server process: a TLS listener, uvicorn until cancelled, and a graceful end.

The listener is created here, because uvicorn exits the process if the port is in use. Its TLS context belongs
to ``certificates.keeper``, which replaces the certificate while the server runs.

The end has two phases. First the process reports not ready and closes each connection after its response, but
continues to answer: load balancers need a moment to notice. Then it stops listening, and requests in progress
finish."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator, Sequence
from functools import partial
from typing import cast

import structlog
import uvicorn

from towpath.errors import SocketUnusable
from towpath_webhook.admission.hooks import MUTATING, VALIDATING
from towpath_webhook.certificates.keeper import CertificateKeeper
from towpath_webhook.http.acceptor import Acceptor
from towpath_webhook.http.app import CLIENT_CERTIFICATE, App, Message, Receive, Scope, Send
from towpath_webhook.http.protocol import LimitedProtocol
from towpath_webhook.metrics import Metrics

KEEP_ALIVE_SECONDS = 120
"""Time that an idle connection is kept. An apiserver drops its own after 90: none may be closed under it."""
GRACE_SECONDS = 3
"""Time for requests in progress when the server ends: no apiserver waits longer for an answer."""
DRAIN_SECONDS = 5.0
"""Time between reporting not ready and closing the listener, for load balancers."""

log = structlog.get_logger()


async def serve(
    app: App,
    host: str,
    port: int,
    keeper: CertificateKeeper,
    *,
    drain_seconds: float = DRAIN_SECONDS,
) -> None:
    """Serve until cancelled, then stop gracefully.

    Raises UsageError if the certificate cannot be used, SocketUnusable if the port cannot.
    """
    with _bind(host, port) as listener:
        _authenticate(app, keeper)
        app.metrics.certificates.read_from(lambda: keeper.expiries)
        await keeper.start()
        gate = _Gate(app, requires_certificate=keeper.tls.asks_for_certificates)
        server = _Server(_config(gate, keeper), app.metrics)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        keeping = asyncio.create_task(keeper.run())
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            app.is_stopping = True
            log.info("shutting down", drain_seconds=drain_seconds)
            with contextlib.suppress(asyncio.CancelledError):  # a second signal ends the drain
                await asyncio.sleep(drain_seconds)
            server.should_exit = True
            await serving
            raise
        finally:
            keeping.cancel()


def _authenticate(app: App, keeper: CertificateKeeper) -> None:
    """Require the token of the registration, if the webhook can read it."""
    if keeper.reads_settings:
        app.routes.require_token("")
        keeper.on_settings = lambda settings: app.routes.require_token(settings.token)
    elif not keeper.tls.asks_for_certificates:
        log.warning("callers are not authenticated; let only the apiserver and Karmada reach the port")


def _config(gate: _Gate, keeper: CertificateKeeper) -> uvicorn.Config:
    return uvicorn.Config(
        gate,
        http=LimitedProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        ssl_context_factory=lambda _config, _default: keeper.tls.context,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )


class _Gate:
    """In front of the application: it refuses clients without a certificate where one is required.

    While the process stops, it reports not ready, and closes each connection after its response.
    """

    def __init__(self, app: App, *, requires_certificate: bool) -> None:
        self._app, self._requires_certificate = app, requires_certificate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            self._requires_certificate
            and CLIENT_CERTIFICATE not in scope["extensions"]
            and _is_admission(scope)
        ):
            await _forbid(send)
        elif self._app.is_stopping:
            await self._app(scope, receive, partial(_send_last, scope["path"], send))
        else:
            await self._app(scope, receive, send)


_ADMISSION_PATHS = tuple(hook.path for hook in (*MUTATING, *VALIDATING))


def _is_admission(scope: Scope) -> bool:
    path: str = scope["path"]
    return path.endswith(_ADMISSION_PATHS)  # behind a token or not


async def _forbid(send: Send) -> None:
    body = b"Admission requests need a client certificate of the CAs in --client-ca.\n"
    length = str(len(body)).encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", length), (b"connection", b"close")]
    log.warning("rejected", status=403, reason="no client certificate")
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _send_last(path: str, send: Send, message: Message) -> None:
    if message["type"] == "http.response.start":
        status = 503 if path == "/readyz" else message["status"]
        headers = [*message["headers"], (b"connection", b"close")]
        message = {**message, "status": status, "headers": headers}
    await send(message)


class _Server(uvicorn.Server):
    """uvicorn with our own acceptor. Signals are left to the command line, which cancels ``serve``."""

    def __init__(self, config: uvicorn.Config, metrics: Metrics) -> None:
        super().__init__(config)
        self._metrics = metrics

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: Sequence[socket.socket] | None = None) -> None:
        config, state = self.config, self.server_state
        # Every connection is one of this protocol, and uvicorn only closes what is in ``servers``.
        connections = cast("set[LimitedProtocol]", state.connections)

        def protocol() -> LimitedProtocol:
            return LimitedProtocol(config=config, server_state=state, app_state={})

        self.servers = []
        for listener in sockets or ():
            address, port = listener.getsockname()[:2]
            tls = cast("ssl.SSLContext", config.ssl)
            acceptor = Acceptor(listener, tls, protocol, connections, self._metrics)
            self.servers.append(cast("asyncio.Server", acceptor))
            log.info("listening", address=address, port=port)
        self.started = True


def _bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound but does not listen: no client waits while there is no certificate."""
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise SocketUnusable(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    return bound

"""The process's side: a TLS listener, uvicorn on it until cancelled, and a graceful end.

The listener and the TLS context are made here and not by uvicorn, which would exit the process over a
taken port and cannot be told the lowest TLS version. Certificates of clients are not asked for: apiservers
present none (facts 0.1).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import structlog
import uvicorn

from towpath.errors import SocketUnusable, UsageError
from towpath_webhook.app import App
from towpath_webhook.guarded import GuardedProtocol

KEEP_ALIVE = 120
"""Seconds an idle connection is kept. An apiserver drops its own after 90: none may be closed under it."""
GRACE = 3
"""Seconds for calls in flight when the server ends: no apiserver waits longer for their answers."""

log = structlog.get_logger()


async def serve(app: App, host: str, port: int, *, cert: Path, key: Path) -> None:
    """Serve an application until cancelled, then stop gracefully.

    Raises UsageError if the certificate cannot be used, SocketUnusable if the port cannot.
    """
    context = _tls(cert, key)
    config = uvicorn.Config(
        app,
        http=GuardedProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        ssl_context_factory=lambda _config, _default: context,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    server = _Server(config)
    with _listener(host, port) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            server.should_exit = True
            await serving
            raise


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs the loop: the command line cancels ``serve``."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: Sequence[socket.socket] | None = None) -> None:
        await super().startup(list(sockets or ()))
        for listener in sockets or ():
            log.info("answering", address=listener.getsockname()[0], port=listener.getsockname()[1])


def _tls(cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    for file in (cert, key):  # OpenSSL would not say which one it cannot read
        try:
            file.open("rb").close()
        except OSError as error:
            raise UsageError(f"{file}: {error.strerror}") from None
    try:
        context.load_cert_chain(cert, key, password=_no_password)
    except ssl.SSLError as error:
        mismatch = error.reason == "KEY_VALUES_MISMATCH"
        why = "it is not this certificate's" if mismatch else f"one of them is not PEM ({error.reason})"
        raise UsageError(f"certificate {cert} with key {key}: {why}") from None
    except _Encrypted:
        raise UsageError(f"key {key} is encrypted: give one without a password") from None
    return context


class _Encrypted(Exception):
    """OpenSSL asks for a password; without this answer it would ask on the terminal."""


def _no_password() -> NoReturn:
    raise _Encrypted


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=socket.SOMAXCONN)
    except OSError as error:
        what = (error.strerror or str(error)).partition(" (while ")[0]  # the rest says the address again
        raise SocketUnusable(f"cannot listen on {host}:{port}: {what}") from None

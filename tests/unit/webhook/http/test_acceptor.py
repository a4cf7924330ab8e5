"""Connections: deadlines before and after the request, a limit on their number, and no silence about it."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, suppress
from typing import Any, NamedTuple

import pytest
import structlog

from tests.support.asgi import application
from tests.support.certificates import HOSTS, authority, identity, written
from tests.support.connections import connected
from tests.support.waiting import until
from towpath.local.ports import free_ports
from towpath.rpc.credentials import Files
from towpath_webhook.certificates.keeper import FilePair
from towpath_webhook.certificates.tls import ServerTls
from towpath_webhook.http import acceptor
from towpath_webhook.http.protocol import MAX_HEAD_BYTES
from towpath_webhook.http.server import serve
from towpath_webhook.metrics import Metrics

pytestmark = pytest.mark.timeout(60)
LIMIT = 4
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"


class Webhook(NamedTuple):
    """A webhook in this process."""

    port: int
    files: Files
    metrics: Metrics

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.files.ca))

    async def health(self) -> bytes:
        async with connected(self.port, self.trust) as (reader, writer):
            writer.write(HEALTH)
            return await reader.readline()

    def closed(self, reason: str) -> float:
        name = "towpath_webhook_connections_closed_total"
        return self.metrics.registry.get_sample_value(name, {"reason": reason}) or 0

    async def connections(self) -> float:
        return self.metrics.registry.get_sample_value("towpath_webhook_connections") or 0


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    ca = authority("webhooks")
    return written(tmp_path_factory.mktemp("pki"), identity(ca, "webhook", serves=HOSTS), ca)


@pytest.fixture
async def webhook(files: Files) -> AsyncIterator[Webhook]:
    metrics = Metrics()
    made = Webhook(free_ports(1)[0], files, metrics)
    keeper = FilePair(ServerTls(), None, cert=files.certificate, key=files.key)
    serving = asyncio.create_task(
        serve(application(metrics=metrics), "127.0.0.1", made.port, keeper, drain_seconds=0)
    )

    async def answers() -> bool:
        with suppress(OSError):
            return b" 200 " in await made.health()
        return False

    await until(answers, bool)
    yield made
    serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor, "MAX_CONNECTIONS", LIMIT)
    monkeypatch.setattr(acceptor, "PATIENCE_SECONDS", 0.0)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor, "HANDSHAKE_SECONDS", 0.3)
    monkeypatch.setattr(acceptor, "SEND_SECONDS", 1)


async def test_a_client_that_is_silent_before_tls_is_cut_off(quick: None, webhook: Webhook) -> None:
    async with connected(webhook.port, None) as (reader, _):
        with suppress(ConnectionError):
            assert await reader.read() == b""
    assert webhook.closed("handshake") == 1


@pytest.mark.parametrize("tls", [False, True], ids=["before TLS", "between requests"])
async def test_silent_clients_do_not_keep_others_out(few: None, webhook: Webhook, tls: bool) -> None:
    silent = [connected(webhook.port, webhook.trust if tls else None) for _ in range(3 * LIMIT)]
    for connection in silent:
        await connection.__aenter__()
    assert b" 200 " in await webhook.health()
    assert await webhook.connections() <= LIMIT
    assert webhook.closed("evicted") >= 2 * LIMIT
    for connection in silent:
        await connection.__aexit__(None, None, None)


async def test_connections_beyond_the_limit_are_closed(
    webhook_with_busy_connections: Webhook,
) -> None:
    async with connected(webhook_with_busy_connections.port, None) as (reader, _):
        with suppress(ConnectionError):
            assert await reader.read() == b""
    assert webhook_with_busy_connections.closed("limit") == 1


@pytest.fixture
async def webhook_with_busy_connections(
    monkeypatch: pytest.MonkeyPatch, few: None, webhook: Webhook
) -> AsyncIterator[Webhook]:
    """Every connection has just been made, so none may be replaced."""
    monkeypatch.setattr(acceptor, "PATIENCE_SECONDS", 60.0)
    opened = [connected(webhook.port, webhook.trust) for _ in range(LIMIT)]
    for connection in opened:
        await connection.__aenter__()
    yield webhook
    for connection in opened:
        await connection.__aexit__(None, None, None)


async def test_a_client_that_never_reads_is_cut_off(quick: None, webhook: Webhook) -> None:
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    raw.connect(("127.0.0.1", webhook.port))
    wrapped = webhook.trust.wrap_socket(raw, server_hostname="127.0.0.1", do_handshake_on_connect=False)
    with closing(wrapped) as client:
        await asyncio.to_thread(client.do_handshake)
        client.settimeout(0.2)
        with suppress(OSError):
            while True:
                await asyncio.to_thread(client.sendall, HEALTH * 200)
        await until(webhook.connections, lambda number: number == 0)


async def test_running_out_of_file_descriptors_is_logged(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    accept, failures = loop.sock_accept, [OSError(errno.EMFILE, os.strerror(errno.EMFILE))] * 3

    async def flaky(listener: Any) -> Any:
        if failures:
            raise failures.pop()
        return await accept(listener)

    monkeypatch.setattr(loop, "sock_accept", flaky)
    monkeypatch.setattr(acceptor, "_PAUSE_SECONDS", 0.01)
    metrics = Metrics()
    made = Webhook(free_ports(1)[0], files, metrics)
    keeper = FilePair(ServerTls(), None, cert=files.certificate, key=files.key)
    with structlog.testing.capture_logs() as lines:
        app = application(metrics=metrics)
        serving = asyncio.create_task(serve(app, "127.0.0.1", made.port, keeper, drain_seconds=0))

        async def answers() -> bool:
            with suppress(OSError):
                return b" 200 " in await made.health()
            return False

        await until(answers, bool)
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
    errors = [line for line in lines if line["event"] == "cannot accept connections"]
    assert [line["error"] for line in errors] == ["Too many open files"], "once, and not for each attempt"


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 2 * MAX_HEAD_BYTES,
        b"GET /healthz HTTP/1.1\r\nX: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * MAX_HEAD_BYTES,
        b"GET /" + b"x" * 2 * MAX_HEAD_BYTES,
    ],
    ids=["a header without end", "a header", "headers", "a request line"],
)
async def test_a_head_that_is_too_large_is_refused(webhook: Webhook, head: bytes) -> None:
    async with connected(webhook.port, webhook.trust) as (reader, writer):
        writer.write(head)
        assert b" 431 " in await reader.readline()


async def test_a_message_of_tiny_chunks_is_cut_off(webhook: Webhook) -> None:
    async with connected(webhook.port, webhook.trust) as (reader, writer):
        writer.write(
            b"POST /validate/serviceexports HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        )
        writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
        with suppress(OSError):
            for _ in range(60):
                writer.write(b"1\r\n \r\n" * 16_000)
                await writer.drain()
            assert await reader.read() == b""


@pytest.fixture(params=["/dev/full", "pipe"])
def process(files: Files, request: pytest.FixtureRequest) -> Iterator[int]:
    """A webhook whose log cannot be written, and its port."""
    port = free_ports(1)[0]
    argv = [sys.executable, "-m", "towpath", "serve", "webhook", f"--port={port}"]
    argv += [f"--tls-cert={files.certificate}", f"--tls-key={files.key}"]
    reader = -1
    if request.param == "pipe":
        reader, descriptor = os.pipe()
        os.set_blocking(descriptor, False)
        with suppress(BlockingIOError):
            while True:
                os.write(descriptor, b"x" * 4096)
        os.set_blocking(descriptor, True)
    else:
        descriptor = os.open("/dev/full", os.O_WRONLY)
    with subprocess.Popen(argv, stderr=descriptor) as running:
        os.close(descriptor)
        yield port
        running.terminate()
        assert running.wait(20) == 0
    if reader >= 0:
        os.close(reader)


async def test_a_log_that_cannot_be_written_stops_nothing(process: int, files: Files) -> None:
    webhook = Webhook(process, files, Metrics())

    async def answer() -> bytes:
        with suppress(OSError):
            return await webhook.health()
        return b""

    assert b" 200 " in await until(answer, bool)
    for _ in range(20):
        assert b" 200 " in await webhook.health()

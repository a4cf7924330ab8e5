"""Asking a Prometheus over HTTP, also one that lies."""

from __future__ import annotations

import asyncio
import errno
import gzip
import json
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from typer.testing import CliRunner

from tests.support.certificates import authority, identity, written
from towpath.cli.serve import app
from towpath.errors import UsageError
from towpath.local.ports import free_ports
from towpath.rules.reasons import TrafficReason
from towpath.traffic import prometheus as module
from towpath.traffic.prometheus import MAX_ANSWER_BYTES, Prometheus, Target, target
from towpath.traffic.query import Unmeasured, query
from towpath.traffic.rates import Pair, Rate

pytestmark = pytest.mark.timeout(60)
MEMBERS = frozenset({"a", "b"})
LABELS = {"towpath_rate": "requests", "cluster": "a", "exported_cluster": "r/z/g/b"}
RESULT = {"resultType": "vector", "result": [{"metric": LABELS, "value": [1.0, "3"]}]}
GOOD = json.dumps({"status": "success", "data": RESULT}).encode()
MEASURED = {Pair("a", "b"): Rate(3.0, None)}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Served:
    """The URL of a server, and the requests that it has seen."""

    def __init__(self, url: str) -> None:
        self.url, self.requests = url, list[web.Request]()

    async def ask(self, **options: Path) -> object:
        return await Prometheus(Target(self.url, **options)).ask(MEMBERS)  # type: ignore[arg-type]

    async def refused(self, **options: Path) -> tuple[TrafficReason, str]:
        with pytest.raises(Unmeasured) as caught:
            await self.ask(**options)
        return caught.value.reason, caught.value.detail


@asynccontextmanager
async def serving(answer: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[Served]:
    served = Served("")

    async def handle(request: web.Request) -> web.StreamResponse:
        served.requests.append(request)
        return await answer(request)

    served_app = web.Application()
    served_app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(served_app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        host, port = runner.addresses[0][:2]
        served.url = f"http{'s' if tls else ''}://{host}:{port}/prometheus"
        yield served
    finally:
        await runner.cleanup()


def always(body: bytes = GOOD, status: int = 200, headers: Mapping[str, str] | None = None) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, status=status, headers=headers)

    return answer


async def test_one_get_asks_for_the_rates() -> None:
    async with serving(always()) as served:
        assert await served.ask() == MEASURED
    (request,) = served.requests
    assert (request.method, request.path) == ("GET", "/prometheus/api/v1/query")
    assert request.query["query"] == query("cluster")
    assert "Authorization" not in request.headers


async def test_the_token_is_read_each_time(tmp_path: Path) -> None:
    token = tmp_path / "token"
    async with serving(always()) as served:
        for content in ("first", "second\n"):
            token.write_text(content)
            await served.ask(token_file=token)
        seen = [request.headers["Authorization"] for request in served.requests]
        assert seen == ["Bearer first", "Bearer second"]
        for content, detail in (("", "not a token"), ("a\nb", "not a token"), ("é", "not a token")):
            token.write_text(content)
            assert await served.refused(token_file=token) == (TrafficReason.BAD_CREDENTIALS, detail)
        missing = await served.refused(token_file=tmp_path / "none")
        assert missing == (TrafficReason.BAD_CREDENTIALS, "No such file or directory")
    assert len(served.requests) == 2


async def test_a_redirect_is_not_followed_with_the_token(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    async with serving(always()) as other, serving(always(b"", 307, {"Location": other.url})) as served:
        assert await served.refused(token_file=token) == (TrafficReason.REFUSED, "HTTP status 307")
        assert not other.requests


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (always(b"<html>Sign in</html>"), (TrafficReason.INVALID_ANSWER, "")),
        (always(b"no", 403), (TrafficReason.REFUSED, "HTTP status 403")),
        (always(b'{"status":"error"}', 422), (TrafficReason.REFUSED, "HTTP status 422")),
        (always(b"x" * (MAX_ANSWER_BYTES + 1)), (TrafficReason.INVALID_ANSWER, "more than 8 MiB")),
        (always(b"x" * (MAX_ANSWER_BYTES + 1), 503), (TrafficReason.INVALID_ANSWER, "more than 8 MiB")),
        (
            always(gzip.compress(GOOD), headers={"Content-Encoding": "gzip"}),
            (TrafficReason.INVALID_ANSWER, ""),
        ),
        (always(GOOD.replace(b'"a"', b'"x"')), (TrafficReason.NO_SERIES, "1 series of other clusters")),
    ],
    ids=["HTML", "forbidden", "error", "too large", "large error", "compressed", "strangers"],
)
async def test_what_is_no_answer_is_told(answer: Handler, reason: tuple[TrafficReason, str]) -> None:
    async with serving(answer) as served:
        assert await served.refused() == reason


async def test_the_log_has_the_beginning_of_an_answer() -> None:
    async with serving(always(b"<html>\x1b[2J\n" + b"x" * 10_000)) as served:
        with pytest.raises(Unmeasured) as caught:
            await served.ask()
    assert caught.value.seen.startswith("<html>\\x1b[2J\\nxxx")
    assert len(caught.value.seen) <= 310
    assert caught.value.detail == ""


async def test_an_answer_without_end_is_cut_off() -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * (1 << 18))
            sent += 1 << 18

    async with serving(endless) as served:
        assert await served.refused() == (TrafficReason.INVALID_ANSWER, "more than 8 MiB")
    assert sent < 6 * MAX_ANSWER_BYTES, "what is in the buffers of both ends"


async def test_a_slow_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEADLINE_SECONDS", 0.3)

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)

    async with serving(drip) as served:
        assert await served.refused() == (TrafficReason.UNREACHABLE, "timed out")


async def test_what_does_not_speak_http_is_told() -> None:
    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.9\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
        served = Served(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        assert await served.refused() == (TrafficReason.UNREACHABLE, "not answered as HTTP")


async def test_neither_token_nor_address_is_told(tmp_path: Path) -> None:
    """The errors of aiohttp have the request with its headers, those of asyncio the address."""
    token = tmp_path / "token"
    token.write_text("secret")
    answers = [b"SSH-2.0-secure\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", b""]

    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answers.pop(0))
        await writer.drain()
        writer.close()

    while answers:
        async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
            served = Served(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            with pytest.raises(Unmeasured) as caught:
                await served.ask(token_file=token)
        assert caught.value.seen
        assert not [word for word in ("secret", "127.0.0.1", "Bearer") if word in repr(caught.value)]


async def test_a_port_that_nobody_has_is_told() -> None:
    served = Served(f"http://127.0.0.1:{free_ports(1)[0]}")
    assert await served.refused() == (TrafficReason.UNREACHABLE, os.strerror(errno.ECONNREFUSED))


async def test_a_host_that_dns_cannot_name_is_unknown() -> None:
    served = Served(target(f"http://{'a' * 64}.example", "cluster", None, None).url)
    assert await served.refused() == (TrafficReason.UNREACHABLE, "unknown host")


async def test_a_certificate_is_verified(tmp_path: Path) -> None:
    ours, other = authority("ours"), authority("other")
    files = written(tmp_path, identity(ours, "prometheus", serves=["127.0.0.1"]), ours)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    ca, foreign, none = (tmp_path / name for name in ("ours.pem", "other.pem", "none.pem"))
    ca.write_bytes(ours.certificate_pem)
    foreign.write_bytes(other.certificate_pem)
    none.write_text("no certificate")
    async with serving(always(), context) as served:
        assert await served.ask(ca=ca) == MEASURED
        assert await served.refused(ca=foreign) == (TrafficReason.UNREACHABLE, "unknown certificate")
        assert await served.refused() == (TrafficReason.UNREACHABLE, "unknown certificate")
        assert await served.refused(ca=none) == (TrafficReason.BAD_CREDENTIALS, "not a certificate")
        missing = await served.refused(ca=tmp_path / "missing")
        assert missing == (TrafficReason.BAD_CREDENTIALS, "No such file or directory")
    assert len(served.requests) == 1


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("http://prometheus:9090", "http://prometheus:9090"),
        ("https://mimir.example.com/prometheus/", "https://mimir.example.com/prometheus"),
        ("http://[::1]:9090", "http://[::1]:9090"),
    ],
)
def test_a_url_is_the_part_before_the_api(url: str, kept: str) -> None:
    assert target(url, "cluster", None, None) == Target(kept)


@pytest.mark.parametrize(
    ("url", "label", "token", "ca", "message"),
    [
        ("prometheus:9090", "cluster", None, None, "--prometheus: Invalid value 'prometheus:9090'"),
        ("ftp://prometheus", "cluster", None, None, "--prometheus: Invalid value"),
        ("http://", "cluster", None, None, "--prometheus: Invalid value"),
        ("http://prometheus:many", "cluster", None, None, "--prometheus: Invalid value"),
        ("http://prometheus/?a=b", "cluster", None, None, "--prometheus: Invalid value"),
        ("http://prometheus/\n", "cluster", None, None, "--prometheus: Invalid value"),
        ("http://prometheus?", "cluster", None, None, "--prometheus: Invalid value"),
        ("http://prometheus#", "cluster", None, None, "--prometheus: Invalid value"),
        ("http://me:secret@prometheus", "cluster", None, None, "--prometheus: The URL has a user"),
        ("http://me:secret@prometheus/?a=b", "cluster", None, None, "--prometheus: The URL has a user"),
        ("http://me:a/secret@prometheus:9090", "cluster", None, None, "--prometheus: The URL has a user"),
        ("https://me:secret@[::1", "cluster", None, None, "--prometheus: The URL has a user"),
        ("http://prometheus", "a-b", None, None, "--prometheus-cluster-label: Invalid value 'a-b'"),
        ("http://prometheus", "cluster", "t", None, "The URL has no TLS"),
        ("http://prometheus", "cluster", None, "ca", "The URL has no TLS"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    url: str, label: str, token: str | None, ca: str | None, message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        target(url, label, Path(token) if token else None, Path(ca) if ca else None)
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--prometheus", "prometheus:9090"], "--prometheus: Invalid value 'prometheus:9090'"),
        (["--prometheus-token-file", "t"], "Pass --prometheus URL as well."),
        (["--prometheus-ca", "ca"], "Pass --prometheus URL as well."),
        (["--prometheus", "http://p", "--prometheus-cluster-label", "a b"], "Invalid value 'a b'"),
    ],
)
def test_the_command_refuses_options_that_mean_nothing(args: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["plugin", *args])
    assert isinstance(done.exception, UsageError)
    assert message in str(done.exception)

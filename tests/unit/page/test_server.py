"""The page's server over a real socket: who is answered, with which headers, and within which limits."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support import certificates
from tests.support.fleets import DIALECT, Plugin, cluster, service
from tests.support.waiting import until
from towpath.errors import SocketUnusable, UsageError
from towpath.page import server as module
from towpath.page import viewer
from towpath.page.access import COOKIE, Access, Everyone, LocalOnly, Token
from towpath.page.feed import Feed
from towpath.page.metrics import Metrics
from towpath.page.server import CONTENT_POLICY, PageServer
from towpath.page.tls import TlsFiles
from towpath.proto.v1alpha1 import inventory_pb2 as pb

pytestmark = pytest.mark.timeout(60)
TOKEN = "correct-horse-battery"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
GUARDED = ["/api/picture", "/api/stream", "/api/explain?namespace=shop&name=web"]


class Page:
    """A running server, and a session to ask it with."""

    def __init__(self, server: PageServer, plugin: Plugin, metrics: Metrics) -> None:
        self.server, self.plugin, self.metrics = server, plugin, metrics
        self.session = aiohttp.ClientSession(
            f"http://127.0.0.1:{server.port}", cookie_jar=aiohttp.DummyCookieJar()
        )

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        async with self.session.get(path, headers=headers) as answer:
            return answer.status, await answer.text()

    @asynccontextmanager
    async def stream(self, **headers: str) -> AsyncIterator[Stream]:
        async with self.session.get("/api/stream", headers=headers) as answer:
            assert answer.status == 200
            yield Stream(answer)

    def viewers(self) -> int:
        return len(self.server._viewers)


class Stream:
    """The events that a viewer is sent."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while line := await self.answer.content.readline():
                if line.startswith(b"data: "):
                    event: dict[str, Any] = json.loads(line[6:])
                    return event
        raise EOFError


@asynccontextmanager
async def serving(
    access: Access, plugin: Plugin | None = None, tls: TlsFiles | None = None
) -> AsyncIterator[Page]:
    web = service("web", ["a"], ["b"])
    plugin = plugin or Plugin(pb.WatchFleetResponse(clusters=[cluster("a"), cluster("b")], services=[web]))
    feed, metrics = Feed(plugin.watch, plugin.explain), Metrics()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(PageServer("127.0.0.1:0", feed, access, metrics, tls))
        running = asyncio.create_task(feed.run())
        stack.callback(running.cancel)
        while not feed.state.source.connected:
            await feed.changed.wait()
        page = Page(server, plugin, metrics)
        await stack.enter_async_context(page.session)
        yield page


@pytest.fixture
def token(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text(TOKEN)
    return tmp_path / "token"


@pytest.fixture
async def page(token: Path) -> AsyncIterator[Page]:
    async with serving(Token(token)) as made:
        yield made


@pytest.fixture
async def local() -> AsyncIterator[Page]:
    async with serving(LocalOnly()) as made:
        yield made


@pytest.mark.parametrize("path", GUARDED)
async def test_without_the_token_nothing_is_told(page: Page, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong-wrong-wrong"}, {"Cookie": f"{COOKIE}=1.a"}):
        async with page.session.get(path, headers=headers) as answer:
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            text = await answer.text()
            assert "shop" not in text
            assert "Unauthorized" in text
    assert "unauthorized" in str(page.metrics.refusals._children)
    assert page.plugin.asked == []


async def test_with_the_token_everything_is_told(page: Page) -> None:
    status, text = await page.get("/api/picture", **BEARER)
    assert status == 200
    assert [row["name"] for row in json.loads(text)["services"]] == ["web"]
    status, text = await page.get(f"/api/explain?namespace=shop&name=web&dialect={DIALECT}", **BEARER)
    assert (status, json.loads(text)["steps"][0]["step"]) == (200, "Export")
    async with page.stream(**BEARER) as stream:
        assert (await stream.next())["whole"]


async def test_a_browser_shows_the_token_once(page: Page) -> None:
    status, text = await page.get("/")
    assert status == 401
    assert 'id="sign-in"' in text
    async with page.session.post("/session", json={"token": "wrong-wrong-wrong-wrong"}) as answer:
        assert answer.status == 403
        assert not answer.cookies
    async with page.session.post("/session", json={"token": TOKEN}) as answer:
        assert answer.status == 204
        cookie = answer.cookies[COOKIE]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Strict"
    assert not cookie["secure"], "without TLS a browser would not send it back"
    status, text = await page.get("/", Cookie=f"{COOKIE}={cookie.value}")
    assert (status, 'id="services-list"' in text) == (200, True)
    async with page.session.delete("/session") as answer:
        assert answer.cookies[COOKIE].value == ""


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"token=x", "application/x-www-form-urlencoded", 415),
        (b"{}", "text/plain", 415),
        (b"", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"token": 5}', "application/json", 403),
        (b'{"token": "' + b"x" * 5000 + b'"}', "application/json", 413),
    ],
)
async def test_what_is_no_token_is_refused(page: Page, body: bytes, kind: str, status: int) -> None:
    async with page.session.post("/session", data=body, headers={"Content-Type": kind}) as answer:
        assert answer.status == status
        assert not answer.cookies


@pytest.mark.parametrize("path", ["/", "/static/page.js", "/api/picture", "/api/stream", "/none", "/session"])
async def test_every_answer_has_the_headers(local: Page, path: str) -> None:
    async with local.session.get(path) as answer:
        sent = answer.headers
    assert sent["Content-Security-Policy"] == CONTENT_POLICY
    assert sent["X-Content-Type-Options"] == "nosniff"
    assert sent["X-Frame-Options"] == "DENY"
    assert sent["Referrer-Policy"] == "no-referrer"
    assert sent["Cross-Origin-Resource-Policy"] == "same-origin"
    assert sent["Server"] == "towpath"
    assert sent["Cache-Control"] == ("no-cache" if path in {"/", "/static/page.js"} else "no-store")
    assert "Access-Control-Allow-Origin" not in sent


def test_the_policy_allows_nothing_inline_or_from_elsewhere() -> None:
    rules = dict(rule.split(" ", 1) for rule in CONTENT_POLICY.split("; "))
    assert rules["default-src"] == "'none'"
    sources = {source for name, value in rules.items() for source in value.split() if name.endswith("-src")}
    assert sources == {"'none'", "'self'"}
    assert rules["require-trusted-types-for"] == "'script'"


async def test_a_file_that_is_known_is_not_sent_again(local: Page) -> None:
    async with local.session.get("/static/page.css") as answer:
        tag = answer.headers["ETag"]
    status, text = await local.get("/static/page.css", **{"If-None-Match": tag})
    assert (status, text) == (304, "")


@pytest.mark.parametrize(
    "path", ["/static/index.html", "/static/../access.py", "/static/%2e%2e%2faccess.py", "/static/", "/x"]
)
async def test_other_files_do_not_exist(local: Page, path: str) -> None:
    assert (await local.get(path))[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/", *GUARDED])
async def test_nothing_can_be_changed(local: Page, method: str, path: str) -> None:
    async with local.session.request(method, path) as answer:
        assert answer.status == 405


async def test_a_foreign_host_name_is_refused(local: Page) -> None:
    assert (await local.get("/api/picture", Host="evil.example.com"))[0] == 401


async def test_a_service_that_is_not_there(local: Page) -> None:
    status, text = await local.get("/api/explain?namespace=shop&name=none")
    assert (status, json.loads(text)["message"]) == (404, "ServiceExport shop/none does not exist.")
    local.plugin.stop()
    status, text = await local.get("/api/explain?namespace=shop&name=none")
    assert (status, json.loads(text)["message"]) == (503, "No plugin serves here: Connection refused")


async def test_changes_are_pushed(local: Page) -> None:
    async with local.stream() as stream:
        assert (await stream.next())["whole"]
        local.plugin.put(service("web", ["b"], ["a"]))
        event = await stream.next()
    assert "members" not in event
    assert [row["exporters"] for row in event["services"]] == [[1]]


async def test_many_viewers_cost_the_plugin_one_stream(local: Page) -> None:
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(local.stream()) for _ in range(20)]
        for stream in streams:
            await stream.next()
        local.plugin.put(service("web", ["b"], ["a"]))
        frames = [await stream.next() for stream in streams]
    assert all(frame == frames[0] for frame in frames)
    assert local.plugin.watches == 1


async def test_a_viewer_too_many_is_told_to_wait(local: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_VIEWERS", 2)
    async with local.stream() as first, local.stream() as second:
        await first.next()
        await second.next()
        async with local.session.get("/api/stream") as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
    await _viewers(local, 0)
    async with local.stream() as stream:
        await stream.next()


async def _viewers(page: Page, number: int) -> None:
    async def look() -> int:
        return page.viewers()

    await until(look, lambda seen: seen == number)


async def test_a_viewer_that_connects_again_gets_everything(local: Page) -> None:
    async with local.stream() as stream:
        first = await stream.next()
    async with local.stream() as stream:
        assert await stream.next() == first


async def test_a_viewer_that_leaves_is_forgotten(local: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer, "ALIVE_SECONDS", 0.05)
    async with local.stream() as stream:
        await stream.next()
        assert local.viewers() == 1
    await _viewers(local, 0)


async def test_a_silent_stream_shows_that_it_is_alive(local: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer, "ALIVE_SECONDS", 0.05)
    async with local.stream() as stream:
        await stream.next()
        assert await stream.answer.content.readline() == b"\n"
        assert await stream.answer.content.readline() == b": alive\n"


async def test_a_replaced_token_ends_the_stream(token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer, "ALIVE_SECONDS", 0.05)
    async with serving(Token(token)) as page, page.stream(**BEARER) as stream:
        await stream.next()
        certificates.replaced(token, b"another-token-of-many-letters")
        with pytest.raises(EOFError):
            await stream.next()


@asynccontextmanager
async def stalled(page: Page) -> AsyncIterator[asyncio.Transport]:
    """Give the server's side of a viewer that reads nothing, with buffers as small as they can be."""
    before = page.viewers()
    with socket.create_connection(("127.0.0.1", page.server.port)) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        assert page.server._runner.server is not None
        known = set(page.server._runner.server.connections)

        async def look() -> list[asyncio.Transport]:
            assert page.server._runner.server is not None
            fresh = set(page.server._runner.server.connections) - known
            return [handler.transport for handler in fresh if handler.transport is not None]

        (transport,) = await until(look, lambda found: len(found) == 1)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        slow.sendall(b"GET /api/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await _viewers(page, before + 1)
        yield transport


def many(where: list[str]) -> list[pb.FleetService]:
    return [service(f"web-{number}", where, ["a"]) for number in range(800)]


async def test_a_slow_viewer_gets_differences_that_add_up(local: Page) -> None:
    """A viewer that does not read holds up nobody, and what it misses is not kept for it."""
    local.plugin.put(*many(["b"]))
    async with stalled(local) as transport, local.stream() as stream:
        await stream.next()
        held = []
        for turn in range(6):
            local.plugin.put(*many(["a", "b"][turn % 2 :]))
            await stream.next()
            held.append(transport.get_write_buffer_size())
        assert held[0] > 0, "it does read"
        assert held[-1] <= held[0]


async def test_a_viewer_that_takes_nothing_is_dropped(local: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer, "STALL_SECONDS", 0.2)
    local.plugin.put(*many(["b"]))
    async with stalled(local):

        async def push() -> int:
            local.plugin.put(*many(["a", "b"][len(local.plugin.services) % 2 :]))
            return local.viewers()

        await until(push, lambda number: number == 0)
    assert local.metrics.dropped._value.get() == 1


async def test_connections_are_limited(local: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CONNECTIONS", 3)
    opened = [await asyncio.open_connection("127.0.0.1", local.server.port) for _ in range(4)]
    try:
        assert await opened[-1][0].read() == b""
        opened[0][1].write(b"GET /static/icon.svg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await opened[0][0].readline()).startswith(b"HTTP/1.1 200")
    finally:
        for _, writer in opened:
            writer.close()


async def test_a_server_that_stops_ends_its_streams() -> None:
    async with AsyncExitStack() as stack:
        page = await stack.enter_async_context(serving(LocalOnly()))
        url = f"http://127.0.0.1:{page.server.port}/api/stream"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            stream = Stream(answer)
            await stream.next()
            await stack.aclose()
            with pytest.raises((EOFError, aiohttp.ClientPayloadError)):
                await stream.next()


async def test_a_port_that_is_taken(local: Page) -> None:
    address = f"127.0.0.1:{local.server.port}"
    with pytest.raises(SocketUnusable, match="Address already in use"):
        await PageServer(
            address, Feed(local.plugin.watch, local.plugin.explain), LocalOnly(), Metrics()
        ).__aenter__()


@asynccontextmanager
async def trusting(page: Page, ca: Path, mine: Path | None = None) -> AsyncIterator[aiohttp.ClientSession]:
    context = ssl.create_default_context(cafile=ca)
    if mine is not None:
        context.load_cert_chain(mine / "tls.crt", mine / "tls.key")
    connector = aiohttp.TCPConnector(ssl=context, force_close=True)
    base = f"https://127.0.0.1:{page.server.port}"
    async with aiohttp.ClientSession(base, connector=connector) as session:
        yield session


async def test_with_tls_the_cookie_is_kept_to_it(tmp_path: Path, token: Path) -> None:
    ca = certificates.authority("ca")
    files = certificates.written(
        tmp_path / "s", certificates.identity(ca, "page", serves=certificates.HOSTS), ca
    )
    async with (
        serving(Token(token), tls=TlsFiles(files.certificate, files.key)) as page,
        trusting(page, files.ca) as session,
        session.post("/session", json={"token": TOKEN}) as answer,
    ):
        assert answer.cookies[COOKIE]["secure"]
        assert answer.headers["Strict-Transport-Security"]


async def test_mutual_tls_lets_in_who_has_a_certificate(tmp_path: Path) -> None:
    ca, other = certificates.authority("ca"), certificates.authority("other")
    server = certificates.identity(ca, "page", serves=certificates.HOSTS)
    files = certificates.written(tmp_path / "s", server, ca)
    for name, by in (("mine", ca), ("foreign", other)):
        certificates.written(tmp_path / name, certificates.identity(by, name), ca)
    async with serving(Everyone(), tls=TlsFiles(*files)) as page:
        async with (
            trusting(page, files.ca, tmp_path / "mine") as session,
            session.get("/api/picture") as answer,
        ):
            assert answer.status == 200
        for mine in (None, tmp_path / "foreign"):
            async with trusting(page, files.ca, mine) as session:
                with pytest.raises(aiohttp.ClientError):
                    await session.get("/api/picture")


async def test_renewed_certificates_are_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also another CA of the clients. A stream that is open goes on, and a damaged file changes nothing."""
    monkeypatch.setattr(module, "TLS_LOOK_SECONDS", 0.05)
    ca, clients, later = map(certificates.authority, ("ca", "clients", "later"))
    files = certificates.written(
        tmp_path / "s", certificates.identity(ca, "page", serves=certificates.HOSTS), clients
    )
    (tmp_path / "ca.crt").write_bytes(ca.certificate_pem)
    for name, by in (("old", clients), ("new", later)):
        certificates.written(tmp_path / name, certificates.identity(by, name), by)

    async def is_let_in(page: Page, name: str) -> bool:
        async with trusting(page, tmp_path / "ca.crt", tmp_path / name) as session:
            try:
                async with session.get("/api/picture") as answer:
                    return answer.status == 200
            except aiohttp.ClientError:
                return False

    async with (
        serving(Everyone(), tls=TlsFiles(*files)) as page,
        trusting(page, tmp_path / "ca.crt", tmp_path / "old") as session,
        session.get("/api/stream") as answer,
    ):
        stream = Stream(answer)
        await stream.next()
        assert not await is_let_in(page, "new")
        certificates.replaced(files.certificate, b"damaged")
        certificates.replaced(files.certificate, certificates.identity(ca, "x").certificate_pem)
        renewed = certificates.identity(ca, "page", serves=certificates.HOSTS)
        certificates.replaced(files.ca, later.certificate_pem)
        certificates.replaced(files.key, renewed.key_pem)
        assert await is_let_in(page, "old"), "a pair that does not match is served"
        certificates.replaced(files.certificate, renewed.certificate_pem)
        await until(lambda: is_let_in(page, "new"), bool)
        assert not await is_let_in(page, "old")
        page.plugin.put(service("web", ["b"], ["a"]))
        assert (await stream.next())["services"]


@pytest.mark.parametrize("broken", ["tls.crt", "tls.key", "ca.crt"])
async def test_tls_files_that_cannot_be_used_are_named(tmp_path: Path, broken: str) -> None:
    ca = certificates.authority("ca")
    files = certificates.written(tmp_path / "s", certificates.identity(ca, "page"), ca)
    for content in (b"nothing", None):
        if content is None:
            (tmp_path / "s" / broken).unlink()
        else:
            (tmp_path / "s" / broken).write_bytes(content)
        with pytest.raises(UsageError, match=broken):
            async with serving(Everyone(), tls=TlsFiles(*files)):
                pass

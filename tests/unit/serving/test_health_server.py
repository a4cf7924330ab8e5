"""The health server over a real socket."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import aiohttp
import pytest

from towpath.controller.metrics import ClusterState, Metrics, Verb, WriteLabels
from towpath.errors import SocketUnusable, UsageError
from towpath.serving import health_server, listening
from towpath.serving.health_server import HealthServer

pytestmark = pytest.mark.timeout(30)
PATHS = ["/healthz", "/readyz", "/metrics"]


@dataclass
class Process:
    """The checks that the server reports."""

    kinds: dict[str, bool] = field(
        default_factory=lambda: {"services": True, "clusters.cluster.karmada.io": True}
    )
    problem: str = ""
    metrics: Metrics = field(default_factory=Metrics)

    def server(self, address: str = "127.0.0.1:0") -> HealthServer:
        async def check() -> str:
            return self.problem

        return HealthServer(address, synced=lambda: self.kinds, check=check, metrics=self.metrics.registry)

    @asynccontextmanager
    async def asked(self) -> AsyncIterator[aiohttp.ClientSession]:
        """Serve, and give a session to ask with; it neither unpacks nor asks for packed answers by itself."""
        async with self.server() as server, session(server) as asking:
            yield asking


@asynccontextmanager
async def session(server: HealthServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{server.port}",
        auto_decompress=False,
        skip_auto_headers=["Accept-Encoding"],
        timeout=aiohttp.ClientTimeout(total=10),
    ) as asking:
        yield asking


async def raw(server: HealthServer, data: bytes) -> bytes:
    """Say something, and return all that is answered until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(data)
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


async def get(asking: aiohttp.ClientSession, path: str, **headers: str) -> tuple[int, str]:
    async with asking.get(path, headers=headers) as answer:
        return answer.status, await answer.text()


async def test_health_is_that_of_the_path_that_answers_requests() -> None:
    process = Process()
    async with process.asked() as asking:
        assert await get(asking, "/healthz") == (200, "ok\n")
        process.problem = "The controller has ended."
        answer = await get(asking, "/healthz")

    assert answer == (500, "The controller has ended. See the log, and restart the process.\n")


async def test_a_check_that_does_not_end_is_unhealthy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_server, "CHECK_SECONDS", 0.1)

    async def stuck() -> str:
        await asyncio.Event().wait()
        return ""

    metrics = Metrics()
    async with (
        HealthServer("127.0.0.1:0", synced=dict, check=stuck, metrics=metrics.registry) as server,
        session(server) as asking,
    ):
        status, text = await get(asking, "/healthz")

    assert status == 500
    assert "did not answer within 0.1 s" in text


async def test_ready_once_all_is_synced() -> None:
    process = Process({})
    async with process.asked() as asking:
        assert await get(asking, "/readyz") == (503, "not ready\n"), "nothing is watched yet"
        process.kinds = {"b": False, "c": True, "a": False}
        assert await get(asking, "/readyz") == (503, "not synced: a, b\nnot ready\n")
        assert await get(asking, "/readyz?verbose") == (503, "[-] a\n[-] b\n[+] c\nnot ready\n")
        process.kinds = dict.fromkeys(process.kinds, True)
        assert await get(asking, "/readyz") == (200, "ready\n")
        assert await get(asking, "/readyz?verbose") == (200, "[+] a\n[+] b\n[+] c\nready\n")


async def test_metrics_are_reported_in_the_format_asked_for() -> None:
    process = Process()
    process.metrics.writes[WriteLabels("ServiceImport", Verb.APPLY)].inc()
    line = 'towpath_writes_total{kind="ServiceImport",verb="apply"} 1.0\n'
    async with process.asked() as asking:
        async with asking.get("/metrics") as plain:
            assert plain.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert line in await plain.text()
        accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
        async with asking.get("/metrics", headers={"Accept": accept}) as open_metrics:
            assert open_metrics.headers["Content-Type"].startswith(
                "application/openmetrics-text; version=1.0.0"
            )
            text = await open_metrics.text()
            assert line in text
            assert text.endswith("# EOF\n")


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.8", True),
        ("identity", False),
    ],
)
async def test_metrics_are_compressed_for_clients_that_accept_it(accepted: str, packed: bool) -> None:
    async with (
        Process().asked() as asking,
        asking.get("/metrics", headers={"Accept-Encoding": accepted}) as answer,
    ):
        body = await answer.read()
        assert answer.headers.get("Content-Encoding") == ("gzip" if packed else None)
        assert answer.headers["Vary"] == "Accept, Accept-Encoding"
        assert b"towpath_leader 0.0" in (gzip.decompress(body) if packed else body)


@pytest.mark.parametrize("path", PATHS)
async def test_head_tells_the_length_and_nothing_else(path: str) -> None:
    async with Process().asked() as asking, asking.get(path) as got, asking.head(path) as answer:
        assert answer.status == 200
        assert abs(int(answer.headers["Content-Length"]) - len(await got.read())) < 20, "process_* move"
        assert await answer.read() == b""
        assert answer.headers["Server"] == "towpath"
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", PATHS)
async def test_other_methods_are_refused(path: str) -> None:
    async with Process().asked() as asking:
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            async with asking.request(method, path) as answer:
                assert answer.status == 405
                assert answer.headers["Allow"] == "GET,HEAD"


@pytest.mark.parametrize("path", ["/", "/healthz/", "/metrics/x", "/../etc/passwd"])
async def test_other_paths_do_not_exist(path: str) -> None:
    async with Process().asked() as asking:
        assert (await get(asking, path))[0] == 404


async def test_connections_are_kept_for_the_next_question() -> None:
    async with Process().server() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for path in PATHS:
            writer.write(f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()


@pytest.mark.parametrize(
    "data",
    [b"", b"GET /hea", b"GET /healthz HTTP/1.1\r\nHost:", b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET"],
)
async def test_a_silent_or_half_finished_connection_is_closed(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_server, "KEEP_ALIVE_SECONDS", 0.2)
    async with Process().server() as server:
        answered = await raw(server, data)

    assert answered.count(b"HTTP/1.1 200") == data.count(b"\r\n\r\n")


@pytest.mark.parametrize(
    "data",
    [
        b"GET /" + b"x" * health_server.MAX_LINE_BYTES + b" HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nX: " + b"x" * health_server.MAX_LINE_BYTES + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
    ids=["request line", "header", "headers", "TLS", "nonsense"],
)
async def test_overlong_or_invalid_requests_are_refused_silently(
    data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with Process().server() as server:
        assert (await raw(server, data)).startswith(b"HTTP/1.0 400 Bad Request\r\n")

    assert not caplog.records


async def test_a_callback_that_fails_is_logged_and_costs_one_answer(caplog: pytest.LogCaptureFixture) -> None:
    process = Process()

    def broken() -> dict[ClusterState, float]:
        raise RuntimeError("broken")

    process.metrics.clusters.read_from(broken)
    async with process.asked() as asking:
        assert (await get(asking, "/metrics"))[0] == 500
        assert (await get(asking, "/healthz"))[0] == 200

    assert [
        record.exc_info[1].args for record in caplog.records if record.exc_info and record.exc_info[1]
    ] == [("broken",)]


async def test_probes_are_not_logged(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(0)
    async with Process().asked() as asking:
        capsys.readouterr()
        for path in [*PATHS, "/nowhere"]:
            await get(asking, path)
        output = capsys.readouterr()

    assert output.out + output.err == ""
    assert not [record for record in caplog.records if record.name != "asyncio"]


async def test_there_is_an_end_to_the_number_of_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_server, "MAX_CONNECTIONS", 2)
    async with Process().server() as server:
        first = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
        for reader, writer in first:
            writer.write(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
        assert await raw(server, b"") == b"", "closed at once"
        for reader, writer in first:
            writer.write(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 200"), "those that are there are not disturbed"
            writer.close()
        async with session(server) as asking:
            assert await get(asking, "/healthz") == (200, "ok\n")


async def test_silent_connections_keep_no_probe_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_server, "MAX_CONNECTIONS", 3)
    monkeypatch.setattr(listening, "PATIENCE_SECONDS", 0.0)
    async with Process().server() as server:
        silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(6)]
        for _ in range(3):
            async with session(server) as asking:
                assert await get(asking, "/healthz") == (200, "ok\n")
        for reader, _ in silent[:3]:
            with suppress(ConnectionError):
                assert await reader.read() == b"", "the oldest are replaced"
        for _, writer in silent:
            writer.close()


async def test_stopping_closes_what_is_open_and_frees_the_port() -> None:
    process = Process()
    async with process.server() as server:
        address = f"127.0.0.1:{server.port}"
        idle, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        await idle.readuntil(b"\r\n\r\n")
        began = asyncio.get_running_loop().time()

    assert asyncio.get_running_loop().time() - began < health_server.GRACE_SECONDS
    assert await idle.read() == b""
    writer.close()
    async with process.server(address):
        pass


async def test_all_interfaces() -> None:
    async with Process().server(":0") as server:
        for host in ["127.0.0.1", *(["::1"] if socket.has_dualstack_ipv6() else [])]:
            reader, writer = await asyncio.open_connection(host, server.port)
            writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert (await reader.read()).endswith(b"ok\n")
            writer.close()


async def test_a_port_in_use_is_reported() -> None:
    async with Process().server() as server:
        with pytest.raises(
            SocketUnusable, match=rf"^cannot listen on 127.0.0.1:{server.port}: Address already in use$"
        ):
            async with Process().server(f"127.0.0.1:{server.port}"):
                pass


@pytest.mark.parametrize(
    "address",
    [
        "",
        "localhost",
        "127.0.0.1",
        "127.0.0.1:http",
        "127.0.0.1:-1",
        "127.0.0.1: 80",
        "127.0.0.1:٨٠",
        "127.0.0.1:65536",
        "::1:9440",
        "[::1]",
        "[::1:9440",
    ],
)
async def test_an_address_that_is_none_is_reported(address: str) -> None:
    with pytest.raises(UsageError, match=r"^--health: Invalid value '.*': must be HOST:PORT"):
        async with Process().server(address):
            pass


@pytest.mark.parametrize("address", ["192.0.2.1:9440", "a..b:9440", "ü" * 70 + ":9440"])
async def test_an_address_of_another_host_is_reported_in_one_line(address: str) -> None:
    with pytest.raises(SocketUnusable, match=rf"^cannot listen on {address}: .+$") as raised:
        async with Process().server(address):
            pass

    assert "\n" not in str(raised.value)

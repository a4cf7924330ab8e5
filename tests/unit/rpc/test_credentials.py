"""The contract on a port: only with certificates of both sides, and as the files hold them now."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import cast

import grpc
import grpc.aio
import pytest
from cryptography import x509

from tests.support.certificates import HOSTS, authority, identity, replaced, written
from tests.support.cli import assert_one_line, towpath
from tests.support.inventories import clusters, knowing
from tests.support.plugins import server
from tests.support.waiting import until
from towpath.cli.plugin_options import Reached, reached
from towpath.cli.serve import _port
from towpath.errors import ApiError, SocketUnusable, Unreachable, UsageError
from towpath.rpc import client, interceptor
from towpath.rpc.credentials import Files
from towpath.rpc.server import PluginServer, Port

pytestmark = pytest.mark.timeout(60)
KNOWN = knowing(*clusters("a", "b"))
F = Path("f")
SERVERS, CLIENTS, STRANGERS = (authority(name) for name in ("servers", "clients", "strangers"))


@pytest.fixture
def ours(tmp_path: Path) -> Files:
    return written(tmp_path / "server", identity(SERVERS, "plugin", serves=HOSTS), CLIENTS)


@pytest.fixture
def theirs(tmp_path: Path) -> Files:
    return written(tmp_path / "client", identity(CLIENTS, "webhook"), SERVERS)


@asynccontextmanager
async def listening(files: Files, path: Path | None = None) -> AsyncIterator[str]:
    async with server(KNOWN, path, port=Port("127.0.0.1:0", files)) as made:
        made.in_sync()
        yield f"127.0.0.1:{made.number}"


@pytest.fixture
async def address(ours: Files) -> AsyncIterator[str]:
    async with listening(ours) as address:
        yield address


async def names(address: str, files: Files | None = None) -> list[str]:
    return [cluster.name for cluster in (await client.list_clusters(address, files)).clusters]


def serial(address: str, theirs: Files) -> int:
    """Return the serial number of the certificate that is shown now."""
    context = ssl.create_default_context(cafile=theirs.ca)
    context.load_cert_chain(theirs.certificate, theirs.key)
    context.set_alpn_protocols(["h2"])
    host, _, port = address.partition(":")
    with (
        socket.create_connection((host, int(port)), 10) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        shown = secure.getpeercert(binary_form=True)
    assert shown
    return x509.load_der_x509_certificate(shown).serial_number


async def test_a_caller_with_a_certificate_is_answered(address: str, theirs: Files) -> None:
    assert await client.is_serving(address, theirs)
    assert await names(address, theirs) == ["a", "b"]


async def test_a_caller_without_certificate_is_not_answered(
    address: str, theirs: Files, tmp_path: Path
) -> None:
    strange = written(tmp_path / "strange", identity(STRANGERS, "webhook"), SERVERS)
    trusts_others = written(tmp_path / "wrong", identity(CLIENTS, "webhook"), STRANGERS)
    for files in (None, strange, trusts_others):
        with pytest.raises(Unreachable):
            await names(address, files)
        assert not await client.is_serving(address, files)
    credentials = grpc.ssl_channel_credentials(theirs.ca.read_bytes())
    async with grpc.aio.secure_channel(address, credentials) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/x/Y", bytes, bytes)(b"", timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert await names(address, theirs) == ["a", "b"], "and then it is of no use to anybody"


async def test_both_at_once(ours: Files, theirs: Files, tmp_path: Path) -> None:
    async with listening(ours, tmp_path / "s") as address:
        assert await names(address, theirs) == await names(f"unix:{tmp_path / 's'}") == ["a", "b"]


async def test_a_new_certificate_is_shown_at_the_next_connection(
    address: str, ours: Files, theirs: Files
) -> None:
    async with grpc.aio.secure_channel(address, _credentials(theirs)) as kept:
        listing = kept.unary_unary("/towpath.proto.v1alpha1.Inventory/ListClusters", bytes, bytes)
        assert await listing(b"")
        for _ in range(5):
            new = identity(SERVERS, "plugin", serves=HOSTS)
            replaced(ours.key, new.key_pem)
            assert await names(address, theirs), "in the middle the old pair is shown"
            replaced(ours.certificate, new.certificate_pem)
            assert await asyncio.to_thread(serial, address, theirs) == new.certificate.serial_number
            assert await names(address, theirs) == ["a", "b"]
        assert await listing(b""), "a connection stays"


def _credentials(files: Files) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        files.ca.read_bytes(), files.key.read_bytes(), files.certificate.read_bytes()
    )


async def test_a_malformed_certificate_is_not_loaded(address: str, ours: Files, theirs: Files) -> None:
    shown = await asyncio.to_thread(serial, address, theirs)
    replaced(ours.certificate, b"")
    assert await asyncio.to_thread(serial, address, theirs) == shown
    ours.key.unlink()
    assert await asyncio.to_thread(serial, address, theirs) == shown
    assert await names(address, theirs) == ["a", "b"]


async def test_a_new_authority_of_clients_counts_from_then_on(
    address: str, ours: Files, theirs: Files, tmp_path: Path
) -> None:
    successor = authority("clients-2")
    later = written(tmp_path / "later", identity(successor, "webhook"), SERVERS)
    with pytest.raises(Unreachable):
        await names(address, later)
    replaced(ours.ca, CLIENTS.certificate_pem + successor.certificate_pem)
    assert await names(address, later) == await names(address, theirs) == ["a", "b"]
    replaced(ours.ca, successor.certificate_pem)
    assert await names(address, later) == ["a", "b"]
    with pytest.raises(Unreachable):
        await names(address, theirs)


async def test_a_port_is_had_by_one(address: str, ours: Files) -> None:
    with pytest.raises(SocketUnusable, match=f"port {address}"):
        await _started(server(KNOWN, port=Port(address, ours)))


async def _started(made: PluginServer) -> None:
    async with made:
        pass


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("certificate", None, "tls.crt: No such file or directory"),
        ("certificate", b"x", "tls.crt: The file has no PEM certificate"),
        ("key", b"x", "tls.key: The file has no PEM private key, or an encrypted one"),
        (
            "key",
            identity(SERVERS, "other").key_pem,
            "tls.key: The key does not belong to the certificate in ",
        ),
        ("ca", b"", "ca.crt: The file has no PEM certificate"),
    ],
)
async def test_files_that_are_wrong_from_the_start(
    ours: Files, file: str, content: bytes | None, message: str
) -> None:
    path: Path = getattr(ours, file)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        await _started(server(KNOWN, port=Port("127.0.0.1:0", ours)))


async def test_commands_reach_a_port_with_certificates(
    address: str, theirs: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TOWPATH_SOCKET", raising=False)
    files = [f"--plugin-{name}={file}" for name, file in zip(("cert", "key", "ca"), theirs, strict=True)]
    done = await asyncio.to_thread(towpath, "members", f"--plugin={address}", *files)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == ["a", "b"]
    by_name = {f"TOWPATH_PLUGIN_{name}": str(file) for name, file in zip(_NAMES, theirs, strict=True)}
    env = {"TOWPATH_PLUGIN": address, **by_name}
    done = await asyncio.to_thread(towpath, "explain", "shop/web", env=env)
    assert_one_line(done, "ServiceExport shop/web does not exist")
    stranger = written(tmp_path / "stranger", identity(STRANGERS, "x"), SERVERS)
    env = {**env, "TOWPATH_PLUGIN_CERT": str(stranger.certificate), "TOWPATH_PLUGIN_KEY": str(stranger.key)}
    assert_one_line(await asyncio.to_thread(towpath, "members", env=env), f"No plugin serves {address}")


_NAMES = ("CERT", "KEY", "CA")


@pytest.mark.parametrize(
    ("socket", "at", "files", "message"),
    [
        (Path("s"), "h:1", [F, F, F], "--plugin and --socket: Pass only one"),
        (None, "h:1", [F, F, None], "--plugin: Pass --plugin-cert, --plugin-key and --plugin-ca"),
        (None, "h:1", [None, None, None], "--plugin: Pass --plugin-cert"),
        (Path("s"), None, [None, F, None], "Pass --plugin HOST:PORT"),
        (None, "h", [F, F, F], "--plugin: Invalid value 'h': must be HOST:PORT"),
        (None, ":1", [F, F, F], "must be HOST:PORT"),
    ],
)
def test_options_that_do_not_locate_the_plugin(
    socket: Path | None, at: str | None, files: list[Path | None], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        reached(socket, at, *files, option="--socket")


def test_where_the_plugin_is() -> None:
    assert reached(None, None, None, None, None, option="--socket") is None
    on_socket = reached(Path("/run/s"), None, None, None, None, option="--socket")
    assert on_socket == Reached("unix:/run/s")
    assert reached(None, "h:1", F, F, F, option="--socket") == Reached("h:1", Files(F, F, F))


def test_a_port_without_certificates_cannot_be_asked_for() -> None:
    file = Path("f")
    assert _port(None, None, None, None) is None
    assert _port("h:1", file, file, file) == Port("h:1", Files(file, file, file))
    for asked in (("h:1", None, None, None), ("h:1", file, file, None), (None, file, None, None)):
        with pytest.raises(
            UsageError, match="--grpc-listen, --grpc-cert, --grpc-key and --grpc-client-ca: Pass all"
        ):
            _port(*asked)
    for address in ("9443", ":9443", "h:x"):
        with pytest.raises(UsageError, match="must be HOST:PORT"):
            _port(address, file, file, file)


async def test_one_client_leaves_calls_to_the_others(
    address: str, theirs: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One client is one certificate, over any number of connections."""
    monkeypatch.setattr(interceptor, "MAX_CALLS_OF_CLIENT", 2)
    others = written(tmp_path / "other", identity(CLIENTS, "page"), SERVERS)
    streams = [cast("AsyncGenerator[object]", client.watch_fleet(address, theirs)) for _ in range(2)]
    for stream in streams:
        await anext(stream)
    with pytest.raises(ApiError, match="The client has 2 calls already"):
        await names(address, theirs)
    assert await names(address, others) == ["a", "b"]
    await streams.pop().aclose()

    async def answered() -> list[str]:
        with suppress(ApiError):
            return await names(address, theirs)
        return []

    assert await until(answered, bool) == ["a", "b"]
    await streams.pop().aclose()

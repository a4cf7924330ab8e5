"""The webhook as a process: TLS, limits, deadlines, a graceful end. And asked by the real Karmada."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import ssl
import subprocess
import sys
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.conftest import Plane
from tests.support.asgi import application
from tests.support.certificates import HOSTS, authority, identity, written
from tests.support.connections import connected
from tests.support.inventories import clusters, knowing
from tests.support.plugins import server as plugin
from tests.support.reviews import HOLDING, PLAIN, RULE, SECRET, document, patched, question, response, review
from tests.support.waiting import until
from towpath.errors import UsageError
from towpath.karmada.client import Client
from towpath.local import pki, processes, webhook
from towpath.local.ports import free_ports
from towpath.local.spec import WEBHOOK
from towpath.pki import Identity, issue, make_authority
from towpath.rpc.server import Port
from towpath.rules.reasons import Advice
from towpath_webhook.admission.clusters import DROPPED, IF_APPLIED, WAS_STORED
from towpath_webhook.admission.hooks import INTERPRET, MUTATE_CLUSTERS, VALIDATE_EXPORTS
from towpath_webhook.certificates.keeper import FilePair
from towpath_webhook.certificates.rotation import DAY
from towpath_webhook.certificates.tls import ServerTls, TlsVersion
from towpath_webhook.http.app import MAX_BODY_BYTES
from towpath_webhook.http.protocol import LimitedProtocol
from towpath_webhook.http.server import serve

NINE_MIB = 9 << 20
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Server:
    """A webhook on this machine, and how to reach it."""

    folder: Path
    port: int

    @property
    def argv(self) -> list[str]:
        files = [f"--tls-cert={self.folder / 'tls.crt'}", f"--tls-key={self.folder / 'tls.key'}"]
        run = [sys.executable, "-m", "towpath", "serve", "webhook"]
        return [*run, *files, f"--port={self.port}", "--drain=0"]

    def certificates(self, cert: str = "tls.crt", key: str = "tls.key") -> FilePair:
        return FilePair(ServerTls(), None, cert=self.folder / cert, key=self.folder / key)

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.folder / "ca.crt"))

    @asynccontextmanager
    async def session(self) -> AsyncIterator[aiohttp.ClientSession]:
        async with aiohttp.ClientSession(
            f"https://127.0.0.1:{self.port}", connector=aiohttp.TCPConnector(ssl=self.trust)
        ) as session:
            yield session

    async def ready(self) -> None:
        async with self.session() as session:

            async def look() -> int:
                with suppress(aiohttp.ClientConnectionError):
                    async with session.get("/readyz") as response:
                        return response.status
                return 0

            await until(look, lambda status: status == 200)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    pki.write_pki(folder)
    return folder


@pytest.fixture
def server(certificates: Path) -> Server:
    return Server(certificates, free_ports(1)[0])


@pytest.fixture
def process(server: Server) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(server.argv, stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.fixture
async def here(server: Server) -> AsyncIterator[Server]:
    """Run the server in the test's own loop."""
    task = asyncio.create_task(
        serve(application(), "127.0.0.1", server.port, server.certificates(), drain_seconds=0)
    )
    await server.ready()
    yield server
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_it_serves_and_refuses(here: Server) -> None:
    async with here.session() as session:
        for path in ("/healthz", "/readyz"):
            async with session.get(path) as response:
                assert (response.status, await response.text()) == (200, "ok\n")
        async with session.post(MUTATE_CLUSTERS, data=review(HOLDING), headers=JSON) as response:
            assert response.status == 200
            assert patched(HOLDING, (await response.json())["response"]) == PLAIN
        refused = [
            ("GET", MUTATE_CLUSTERS, b"", 405),
            ("POST", "/readyz", b"", 405),
            ("POST", "/admit/nothing", b"{}", 404),
            ("POST", MUTATE_CLUSTERS, b"{}", 400),
        ]
        for method, path, body, status in refused:
            async with session.request(method, path, data=body, headers=JSON) as response:
                assert response.status == status
                assert (await response.text()).count("\n") == 1
                assert "Allow" in response.headers or status != 405
    async with here.session() as session, session.post(MUTATE_CLUSTERS, data=b"{}") as response:
        assert response.status == 415


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1),
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s" % (MAX_BODY_BYTES + 1, b" " * (MAX_BODY_BYTES + 1)),
    ],
    ids=["announced", "chunked"],
)
async def test_a_body_too_large_is_refused_before_its_end(here: Server, framing: bytes) -> None:
    async with connected(here.port, here.trust) as (reader, writer):
        writer.write(
            b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n%s"
            % (MUTATE_CLUSTERS.encode(), framing)
        )
        assert b" 413 " in await reader.readline()


async def test_the_plugin_is_elsewhere_and_asked_by_mutual_tls(server: Server, tmp_path: Path) -> None:
    plugins, webhooks = (authority(name) for name in ("plugins", "webhooks"))
    serving = identity(plugins, "plugin", serves=HOSTS)
    port = Port("127.0.0.1:0", written(tmp_path / "plugin", serving, webhooks))
    shown = written(tmp_path / "webhook", identity(webhooks, "webhook"), plugins)
    options = [f"--plugin-{name}={file}" for name, file in zip(("cert", "key", "ca"), shown, strict=True)]
    export = document("ServiceExport", {"rules": [RULE], "targetClusters": ["r/z/g/nowhere"]})
    async with plugin(knowing(*clusters("a")), port=port) as known, server.session() as session:
        known.in_sync()
        argv = [*server.argv, f"--plugin=127.0.0.1:{known.number}", *options]
        process = await asyncio.create_subprocess_exec(*argv, stderr=subprocess.DEVNULL)
        try:
            await server.ready()
            async with session.post(VALIDATE_EXPORTS, data=question(export), headers=JSON) as reply:
                answered = response(await reply.read(), question(export))
        finally:
            process.terminate()
            await process.wait()
    assert answered["warnings"][1:] == [
        f"spec.targetClusters[0] (r/z/g/nowhere): {Advice.UNKNOWN_TARGET_CLUSTER.text}"
    ]


async def test_authenticated_callers_need_a_client_certificate(server: Server, tmp_path: Path) -> None:
    clients, others = (make_authority(name, validity=DAY) for name in ("apiservers", "others"))
    (tmp_path / "clients.crt").write_bytes(clients.certificate_pem)
    cert, key = server.folder / "tls.crt", server.folder / "tls.key"
    certificates = FilePair(ServerTls(client_ca=tmp_path / "clients.crt"), None, cert=cert, key=key)
    task = asyncio.create_task(serve(application(), "127.0.0.1", server.port, certificates, drain_seconds=0))

    async def ask(path: str, by: Identity | None) -> int:
        trust = server.trust
        if by is not None:
            shown = issue(by, "kube-apiserver", validity=DAY)
            (tmp_path / "client.pem").write_bytes(shown.certificate_pem + shown.key_pem)
            trust.load_cert_chain(tmp_path / "client.pem")
        connector = aiohttp.TCPConnector(ssl=trust)
        async with aiohttp.ClientSession(f"https://127.0.0.1:{server.port}", connector=connector) as session:
            try:
                async with session.post(path, data=review(HOLDING), headers=JSON) as response:
                    return response.status
            except aiohttp.ClientError:
                return 0

    await server.ready()
    assert await ask(MUTATE_CLUSTERS, clients) == 200
    assert await ask(MUTATE_CLUSTERS, None) == 403
    assert await ask(MUTATE_CLUSTERS, others) == 0, "not even a handshake"
    assert await ask(INTERPRET, None) == 400, "Karmada has none to show"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(("content", "message"), [(None, "No such file"), ("?", "has no certificate")])
def test_a_client_ca_that_cannot_be_used_is_reported(
    tmp_path: Path, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "ca.crt").write_text(content)
    with pytest.raises(UsageError, match=f"ca.crt: .*{message}"):
        ServerTls(client_ca=tmp_path / "ca.crt")


async def test_authenticated_callers_do_not_speak_plain_http(here: Server) -> None:
    async with connected(here.port, None) as (reader, writer):
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = b""
        with suppress(ConnectionError):
            answer = await reader.read()
        assert b"HTTP/1.1" not in answer


@pytest.mark.parametrize(
    ("lowest", "spoken", "answered"),
    [
        ("1.3", "1.3", True),
        ("1.3", "1.2", False),
        ("1.2", "1.3", True),
        ("1.2", "1.2", True),
        ("1.2", "1.1", False),
    ],
)
def test_authenticated_callers_speak_a_current_tls(
    server: Server, lowest: str, spoken: str, answered: bool
) -> None:
    listening = ServerTls(TlsVersion(lowest))
    certificate, key = ((server.folder / name).read_bytes() for name in ("tls.crt", "tls.key"))
    listening.load(certificate, key, "it")
    trust = server.trust
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of asking for TLS 1.1
        trust.minimum_version = trust.maximum_version = ssl.TLSVersion[f"TLSv{spoken.replace('.', '_')}"]
    trust.set_alpn_protocols(["h2", "http/1.1"])
    assert handshake(listening.context, trust) == ("http/1.1" if answered else None)


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> str | None:
    """Return the protocol that both agreed on, None if they could not."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(back, there, server_hostname="127.0.0.1")
    answering = server.wrap_bio(there, back, server_side=True)
    for side in (asking, answering) * 3:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLError:
            return None
    return asking.selected_alpn_protocol()


HEAD = b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n" % MUTATE_CLUSTERS.encode()


@pytest.mark.parametrize(
    "beginning",
    [b"", b"POST /adm", HEAD, HEAD + b"Content-Length: 9\r\n\r\n{"],
    ids=["silence", "half a line", "half a head", "half a body"],
)
async def test_a_slow_request_is_cut_off(
    here: Server, monkeypatch: pytest.MonkeyPatch, beginning: bytes
) -> None:
    monkeypatch.setattr(LimitedProtocol, "receive_seconds", 0.3)
    async with connected(here.port, here.trust) as (reader, writer):
        writer.write(beginning)
        with suppress(ConnectionError):
            assert await reader.read() == b""


async def test_later_requests_on_a_kept_connection_are_guarded(
    here: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LimitedProtocol, "receive_seconds", 0.3)
    loop = asyncio.get_running_loop()
    async with connected(here.port, here.trust) as (reader, writer):
        started = loop.time()
        while loop.time() < started + 0.8:  # longer than one request may take
            writer.write(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200 ")
        writer.write(b"GET /rea")
        with suppress(ConnectionError):
            assert await reader.read() == b""


async def test_graceful_restart_lets_a_call_in_flight_end(
    server: Server, process: subprocess.Popen[str]
) -> None:
    body = review(HOLDING)
    await server.ready()
    async with connected(server.port, server.trust) as (reader, writer):
        writer.write(HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert b" 100 " in await reader.readuntil(b"\r\n\r\n"), "the call is in flight"
        process.send_signal(signal.SIGTERM)

        async def listens() -> bool:
            try:
                _, probe = await asyncio.open_connection("127.0.0.1", server.port)
            except ConnectionError:
                return False
            probe.close()
            await probe.wait_closed()
            return True

        await until(listens, lambda yes: not yes)
        writer.write(body)
        assert b" 200 " in await reader.readline()
        assert b'"allowed":true' in await reader.read()
    assert await asyncio.to_thread(process.wait, 10) == 0
    events = [json.loads(line)["event"] for line in process.stderr or ()]
    assert events[0].startswith("callers are not authenticated")
    assert events[1:] == ["certificate loaded", "listening", "shutting down", "allowed", "stopped"]


async def test_a_port_that_is_taken_is_reported_in_one_line(here: Server) -> None:
    ended = await asyncio.to_thread(subprocess.run, here.argv, text=True, capture_output=True, timeout=30)
    assert ended.returncode == 1
    assert ended.stderr == f"error: cannot listen on 127.0.0.1:{here.port}: Address already in use\n"


@pytest.mark.parametrize(
    ("cert", "key", "message"),
    [
        ("none.crt", "tls.key", "none.crt: No such file"),
        ("bad.crt", "tls.key", "not PEM"),
        ("tls.crt", "front-proxy.key", "The key does not belong to the certificate"),
        ("tls.crt", "locked.key", "without a password"),
    ],
)
async def test_an_unusable_certificate_is_reported_in_one_line(
    server: Server, cert: str, key: str, message: str
) -> None:
    (server.folder / "bad.crt").write_text("no certificate")
    locked = serialization.BestAvailableEncryption(b"password")
    (server.folder / "locked.key").write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked
        )
    )
    with pytest.raises(UsageError, match=message) as caught:
        await serve(application(), "127.0.0.1", server.port, server.certificates(cert, key))
    assert "\n" not in str(caught.value)


# On a real Karmada


def manifest(group: str, name: str) -> dict[str, Any]:
    return {
        "apiVersion": f"{group}/v1alpha1",
        "kind": "Cluster",
        "metadata": {"name": name},
        "spec": {"gatewayHost": "10.0.2.4", "kubeconfig": SECRET},
    }


@pytest.mark.parametrize("group", ["flomesh.io", "multicluster.flomesh.io"])
async def test_karmada_stores_no_kubeconfig(plane: Plane, karmada: Client, group: str) -> None:
    name, kind = "t-webhook", f"clusters.{group}"
    text = json.dumps(manifest(group, name))

    def stored() -> str:
        return plane.kubectl("get", kind, name, "-ojson").stdout

    async def labelled() -> str:
        return plane.kubectl("label", "--overwrite", kind, name, "a=b").stderr

    plane.kubectl("create", "-f-", stdin=text)
    assert json.loads(stored())["spec"]["kubeconfig"] == SECRET, "no webhook is there to drop it"
    try:
        await webhook.start(plane.env, karmada)
        # The apiserver looks for new webhooks in the background.
        await until(labelled, lambda output: f"Warning: {WAS_STORED}" in output)
        assert "kubeconfig" not in stored()
        assert plane.kubectl("label", kind, name, "a-").stderr == ""
        for _ in range(2):
            output = plane.kubectl("apply", "-f-", stdin=text).stderr
            assert f"Warning: {DROPPED}" in output
            assert f"Warning: {IF_APPLIED}" in output
            assert "kubeconfig" not in stored()
            assert json.loads(stored())["spec"]["gatewayHost"] == "10.0.2.4"

        processes.end([processes.running(plane.env.root)[WEBHOOK]])
        refused = plane.kubectl("apply", "-f-", stdin=text, check=False).stderr
        assert 'failed calling webhook "clusters.towpath.io"' in refused
        assert "kubeconfig" not in stored(), "a credential is not stored while the webhook is down"
        assert plane.kubectl("label", kind, name, "a=b").stderr == "", "all else is"
    finally:
        await webhook.stop(plane.env, karmada)
        plane.kubectl("delete", kind, name, "--ignore-not-found")


async def test_stalled_clients_and_large_bodies_leave_memory_as_it_was(
    server: Server, process: subprocess.Popen[str]
) -> None:
    """Refused before their end, or held to the limit: what is received is given back."""
    await server.ready()
    watched = psutil.Process(process.pid)
    body = review(HOLDING)

    async def flood() -> None:
        async with AsyncExitStack() as open_, server.session() as session:
            for _ in range(40):
                _, stalled = await open_.enter_async_context(connected(server.port, server.trust))
                stalled.write(HEAD + b"Content-Length: %d\r\n\r\n{" % MAX_BODY_BYTES)
            for size in (NINE_MIB, MAX_BODY_BYTES):
                with suppress(aiohttp.ClientConnectionError):
                    async with session.post(
                        MUTATE_CLUSTERS, data=io.BytesIO(b" " * size), headers=JSON
                    ) as response:
                        assert response.status in {400, 413}
            async with session.post(MUTATE_CLUSTERS, data=body, headers=JSON) as response:
                assert response.status == 200, "the others do not wait"

    before = watched.memory_info().rss
    for _ in range(8):
        await flood()
    # A connection's buffers are 256 KiB, and 320 of them were opened.
    assert watched.memory_info().rss - before < 4 * NINE_MIB
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, 10) == 0

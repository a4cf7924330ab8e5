"""Credentials that change while requests are made: of each kind, none is lost and none is refused."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import stat
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml
from aiohttp import web

from tests.support.waiting import until
from towpath.errors import ApiError, Unreachable
from towpath.karmada import answers, connection, login
from towpath.karmada.client import Client
from towpath.pki import issue, make_authority

VALIDITY = timedelta(days=1)


@dataclass
class Apiserver:
    """Accepts what ``accepts`` says, and counts."""

    accepts: Callable[[web.Request], bool]
    accepted: int = 0
    refused: int = 0
    server: str = ""
    users: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        if not self.accepts(request):
            self.refused += 1
            return web.json_response({"message": "Unauthorized"}, status=401)
        self.accepted += 1
        return web.json_response({"items": []})


@asynccontextmanager
async def apiserver(
    accepts: Callable[[web.Request], bool], tls: ssl.SSLContext | None = None
) -> AsyncIterator[Apiserver]:
    made = Apiserver(accepts)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    made.server = f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


def write(folder: Path, server: str, user: dict[str, Any], **cluster: str) -> Path:
    config = folder / "config"
    document = {
        "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "x", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    }
    fresh = folder / "config.new"
    fresh.write_text(yaml.safe_dump(document))
    fresh.replace(config)
    return config


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_CHECK_SECONDS", 0.0)
    monkeypatch.setattr(answers, "_REFUSED_SECONDS", 0.0)


class Tokens:
    """Which token is good at the moment."""

    def __init__(self) -> None:
        self.good = "one"

    def __call__(self, request: web.Request) -> bool:
        return request.headers.get("Authorization") == f"Bearer {self.good}"


async def ask(client: Client) -> None:
    await client.json("GET", "/api/v1/services")


async def test_a_token_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    tokens, token = Tokens(), tmp_path / "token"
    token.write_text("one\n")
    async with apiserver(tokens) as server:
        config = write(tmp_path, server.server, {"tokenFile": "token"})
        async with await Client.connect(config, user_agent="tests") as client:
            await ask(client)
            token.write_text("second\n")
            tokens.good = "second"
            await ask(client)
        assert (server.accepted, server.refused) == (2, 0)


async def test_a_token_in_the_kubeconfig_is_read_again(tmp_path: Path) -> None:
    tokens = Tokens()
    async with apiserver(tokens) as server:
        config = write(tmp_path, server.server, {"token": "one"})
        async with await Client.connect(config, user_agent="tests") as client:
            await ask(client)
            write(tmp_path, server.server, {"token": "second"})
            tokens.good = "second"
            await ask(client)
        assert (server.accepted, server.refused) == (2, 0)


async def test_the_token_of_a_pod_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = make_authority("ca", validity=VALIDITY)
    tokens, token, ca = Tokens(), tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("one")
    ca.write_bytes(authority.certificate_pem)
    monkeypatch.setattr(login, "_IN_CLUSTER", tmp_path)
    async with apiserver(
        lambda request: request.headers.get("Authorization", "").lower() == f"bearer {tokens.good}",
        serving(tmp_path, authority),
    ) as server:
        host, _, port = server.server.removeprefix("https://").partition(":")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
        async with await Client.connect(None, user_agent="tests") as client:
            await ask(client)
            token.write_text("second")
            tokens.good = "second"
            await ask(client)
        assert (server.accepted, server.refused) == (2, 0)


def plugin(folder: Path, expires: str = "") -> dict[str, Any]:
    """Return an exec plugin that gives what the file ``credential`` holds."""
    command = folder / "login"
    status = '{"token": open(sys.argv[1]).read()' + (
        f', "expirationTimestamp": "{expires}"' if expires else ""
    )
    command.write_text(
        f"#!{sys.executable}\nimport json, sys\n"
        'print(json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", '
        f'"status": {status}}}}}))\n'
    )
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    arguments = [str(folder / "credential")]
    return {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "./login", "args": arguments}
    }


async def test_an_exec_plugin_is_run_again_when_its_token_is_refused(tmp_path: Path) -> None:
    tokens, credential = Tokens(), tmp_path / "credential"
    credential.write_text("one")
    async with apiserver(tokens) as server:
        config = write(tmp_path, server.server, plugin(tmp_path))
        async with await Client.connect(config, user_agent="tests") as client:
            await ask(client)
            credential.write_text("second")
            tokens.good = "second"
            await asyncio.gather(*(ask(client) for _ in range(10)))
        assert server.accepted == 11
        assert not client.problem


async def test_an_exec_plugin_is_run_again_before_its_token_expires(tmp_path: Path) -> None:
    tokens, credential = Tokens(), tmp_path / "credential"
    credential.write_text("one")
    expires = (datetime.now(UTC) - timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    async with apiserver(tokens) as server:
        config = write(tmp_path, server.server, plugin(tmp_path, expires))
        async with await Client.connect(config, user_agent="tests") as client:
            credential.write_text("second")
            tokens.good = "second"
            await ask(client)
        assert (server.accepted, server.refused) == (1, 0)


async def test_an_exec_plugin_that_gives_nothing_is_named(tmp_path: Path) -> None:
    config = write(tmp_path, "http://127.0.0.1:1", plugin(tmp_path))
    with pytest.raises(Unreachable, match=r"exec plugin .*login: It has given no credentials"):
        await Client.connect(config, user_agent="tests")


def serving(folder: Path, authority: Any) -> ssl.SSLContext:
    identity = issue(authority, "server", validity=VALIDITY, serves=["127.0.0.1"])
    (folder / "server.crt").write_bytes(identity.certificate_pem)
    (folder / "server.key").write_bytes(identity.key_pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    return context


async def test_a_renewed_client_certificate_loses_no_request(tmp_path: Path) -> None:
    authority = make_authority("ca", validity=VALIDITY)
    context = serving(tmp_path, authority)
    context.load_verify_locations(cadata=authority.certificate_pem.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    shown: set[str] = set()

    def accepts(request: web.Request) -> bool:
        assert request.transport is not None
        subject = request.transport.get_extra_info("peercert")["subject"]
        shown.add(dict(part[0] for part in subject)["commonName"])
        return True

    def rotate(name: str) -> None:
        identity = issue(authority, name, validity=VALIDITY)
        for file, pem in (("client.key", identity.key_pem), ("client.crt", identity.certificate_pem)):
            (tmp_path / file).write_bytes(pem)

    rotate("first")
    async with apiserver(accepts, context) as server:
        ca = {"certificate-authority-data": base64.b64encode(authority.certificate_pem).decode()}
        user = {"client-certificate": "client.crt", "client-key": "client.key"}
        config = write(tmp_path, server.server, user, **ca)
        async with await Client.connect(config, user_agent="tests") as client:
            done = 0
            for name in ("second", "third"):
                for _ in range(5):
                    await asyncio.gather(*(ask(client) for _ in range(4)))
                    done += 4
                rotate(name)
            await ask(client)
        assert server.accepted == done + 1
    assert shown == {"first", "second", "third"}


async def test_credentials_that_cannot_be_read_leave_the_present_ones(tmp_path: Path) -> None:
    async with apiserver(Tokens()) as server:
        config = write(tmp_path, server.server, {"token": "one"})
        async with await Client.connect(config, user_agent="tests") as client:
            config.write_text("{ half written")
            with structlog.testing.capture_logs() as logs:
                await ask(client)
                await ask(client)
        assert server.accepted == 2
    assert [line["event"] for line in logs] == ["credentials not read again"], "said once"


async def test_while_every_call_is_refused_that_is_a_problem(tmp_path: Path) -> None:
    tokens = Tokens()
    async with apiserver(tokens) as server:
        config = write(tmp_path, server.server, {"token": "one"})
        async with await Client.connect(config, user_agent="tests") as client:
            await ask(client)
            tokens.good = "other"
            with pytest.raises(ApiError, match="Unauthorized"):
                await ask(client)
            assert client.problem == "The apiserver refuses every call: GET /api/v1/services: Unauthorized"
            write(tmp_path, server.server, {"token": "other"})
            await until(lambda: _asked(client), bool)
            assert not client.problem


async def _asked(client: Client) -> bool:
    try:
        await ask(client)
    except ApiError:
        return False
    return True


def test_the_cluster_entry_holds_no_credentials(tmp_path: Path) -> None:
    async def entry() -> dict[str, Any]:
        config = write(tmp_path, "http://127.0.0.1:1", {"token": "secret"})
        async with await Client.connect(config, user_agent="tests") as client:
            return client.cluster

    assert "secret" not in json.dumps(asyncio.run(entry()))

"""Credentials as they are read: what ``kubernetes.aio`` would read, without loading it."""

from __future__ import annotations

import base64
import ssl
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.aio import config
from kubernetes.aio.client.configuration import Configuration

from towpath.errors import BadKubeconfig, Unreachable
from towpath.karmada.access import Access
from towpath.karmada.login import Source, read_login
from towpath.pki import Identity, issue, make_authority

AUTHORITY = make_authority("ca", validity=timedelta(days=1))
CLIENT = issue(AUTHORITY, "client", validity=timedelta(days=1))


def data(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


CA = {"certificate-authority-data": data(AUTHORITY.certificate_pem)}
CERTIFICATE = {
    "client-certificate-data": data(CLIENT.certificate_pem),
    "client-key-data": data(CLIENT.key_pem),
}


def write(folder: Path, user: dict[str, Any], cluster: dict[str, Any]) -> Path:
    document = {
        "current-context": "x",
        "clusters": [{"name": "x", "cluster": cluster}],
        "users": [{"name": "x", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    }
    (folder / "config").write_text(yaml.safe_dump(document))
    return folder / "config"


def content(path: str | None) -> bytes:
    return Path(path).read_bytes() if path else b""


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("user", "cluster"),
    [
        ({}, {}),
        ({"token": "a"}, {}),
        ({"token": "a", "tokenFile": "token"}, {}),
        ({"tokenFile": "token"}, {}),
        ({"username": "me", "password": "pä:ss"}, {}),
        ({"username": "me", "password": "secret", "token": "a"}, {}),
        ({"username": "me"}, {}),
        (CERTIFICATE, CA),
        (
            {"client-certificate": "client.crt", "client-key": "client.key"},
            {"certificate-authority": "ca.crt"},
        ),
        ({**CERTIFICATE, "client-certificate": "other.crt"}, {**CA, "certificate-authority": "ca.crt"}),
        ({"token": "a"}, {"server": "http://127.0.0.1:1/", **CA}),
        ({"token": "a"}, {"server": "https://127.0.0.1:1/k8s/clusters/c//"}),
        ({"token": "a"}, {"insecure-skip-tls-verify": True}),
        ({"token": "a"}, {"insecure-skip-tls-verify": False, "tls-server-name": "a.b"}),
        ({"token": "a"}, {"proxy-url": "http://proxy.invalid:3128"}),
    ],
)
async def test_the_same_is_read_as_by_the_official_client(
    user: dict[str, Any], cluster: dict[str, Any], tmp_path: Path
) -> None:
    for name, pem in (
        ("ca.crt", AUTHORITY.certificate_pem),
        ("client.crt", CLIENT.certificate_pem),
        ("client.key", CLIENT.key_pem),
        ("token", b"from a file\n"),
    ):
        (tmp_path / name).write_bytes(pem)
    path = write(tmp_path, user, {"server": "https://127.0.0.1:1", **cluster})
    official = Configuration()
    await config.load_kube_config(  # type: ignore[no-untyped-call] # has no annotations
        str(path), client_configuration=official, persist_config=False
    )

    assert (await read_login(Source(path))).access == Access(
        official.host,
        official.api_key.get("BearerToken", "").strip(),
        content(official.ssl_ca_cert),
        content(official.cert_file),
        content(official.key_file),
        is_verified=official.verify_ssl,
        server_name=official.tls_server_name or "",
        proxy=official.proxy or "",
    )


@pytest.mark.parametrize(
    ("user", "cluster", "problem"),
    [
        ({}, {"server": ""}, r"contexts\[x\]\.cluster: There is no cluster 'x' with a server"),
        ({"tokenFile": "absent"}, {}, r"absent: No such file"),
        ({"client-certificate": "absent"}, {}, r"absent: No such file"),
        ({"client-key-data": "a"}, {}, r"client-key-data: Invalid value: must be base64\."),
        ({"exec": {"command": "absent"}}, {}, r"exec plugin absent: It has given no credentials"),
    ],
)
async def test_what_cannot_be_read_is_named(
    user: dict[str, Any], cluster: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    path = write(tmp_path, user, {"server": "https://127.0.0.1:1", **cluster})
    with pytest.raises(Unreachable, match=problem):
        await read_login(Source(path))


async def test_a_context_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, {}, {"server": "https://127.0.0.1:1"})
    with pytest.raises(BadKubeconfig, match=r"There is no context 'other'"):
        await read_login(Source(path, "other"))


async def test_outside_of_a_pod_a_kubeconfig_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(BadKubeconfig, match=r"This is not a pod.* Pass --kubeconfig\."):
        await read_login(Source(None))


@pytest.mark.parametrize(
    ("certificate", "key"),
    [(CLIENT, AUTHORITY), (CLIENT, None)],
    ids=["the key of another one", "no key"],
)
def test_certificates_that_do_not_fit_are_refused(certificate: Identity, key: Identity | None) -> None:
    access = Access(
        "https://127.0.0.1:1", certificate=certificate.certificate_pem, key=key.key_pem if key else b""
    )
    with pytest.raises(ssl.SSLError):
        access.tls()


def test_text_beside_a_certificate_is_passed_over() -> None:
    ca = "Zürich\n".encode() + AUTHORITY.certificate_pem
    assert len(Access("https://127.0.0.1:1", ca=ca).tls().get_ca_certs()) == 1


def test_an_agent_loads_neither_client_nor_cryptography(tmp_path: Path) -> None:
    """They would be a fifth of its memory, on every node of every member."""
    write(tmp_path, CERTIFICATE, {"server": "https://127.0.0.1:1", **CA})
    text = (
        "import asyncio, sys, towpath.cli.serve_net, towpath.net.agent, towpath.net.identity\n"
        "from towpath.karmada.client import Client\n"
        "async def connected():\n"
        "    async with await Client.connect(sys.argv[1], user_agent='tests'): pass\n"
        "asyncio.run(connected())\n"
        "print(*({'kubernetes', 'cryptography', 'requests'} & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", text, str(tmp_path / "config")], capture_output=True, check=True, text=True
    )
    assert done.stdout == "\n"

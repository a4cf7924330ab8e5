"""Certificates between webhook and plugin: for the host that was asked for, by a CA that is used again."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from towpath.rpc.credentials import Files, for_client, for_server
from towpath.setup.plugin_tls import CA, CA_KEY, CA_VALIDITY, CLIENTS, VALIDITY, issue_certificates

HOST = "towpath-plugin.towpath.svc"
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def issued(stored: dict[str, bytes], now: dt.datetime = NOW) -> dict[str, bytes]:
    return {file.name: file.content for file in issue_certificates(HOST, stored, now)}


def test_the_server_certificate_is_that_of_the_host() -> None:
    files = issued({})
    server = x509.load_pem_x509_certificate(files["plugin.crt"])
    store = Store([x509.load_pem_x509_certificate(files[CA])])

    chain = (
        PolicyBuilder().store(store).time(NOW).build_server_verifier(x509.DNSName(HOST)).verify(server, [])
    )

    assert chain[0] == server


def test_a_ca_is_used_again_and_certificates_are_new() -> None:
    first = issued({})
    second = issued(first, NOW + dt.timedelta(days=30))

    assert (second[CA], second[CA_KEY]) == (first[CA], first[CA_KEY])
    assert second["plugin.crt"] != first["plugin.crt"]
    assert second["webhook.crt"] != first["webhook.crt"]


@pytest.mark.parametrize(
    ("changes", "now"),
    [
        ({CA: b"no certificate"}, NOW),
        ({CA_KEY: b""}, NOW),
        ({}, NOW + CA_VALIDITY - VALIDITY + dt.timedelta(days=1)),
    ],
    ids=["damaged", "without its key", "ends too soon"],
)
def test_a_ca_that_cannot_sign_is_replaced(changes: dict[str, bytes], now: dt.datetime) -> None:
    first = issued({})

    assert issued(first | changes, now)[CA] != first[CA]


@pytest.mark.parametrize("client", CLIENTS)
async def test_the_plugin_and_its_clients_accept_each_other(tmp_path: Path, client: str) -> None:
    for file in issue_certificates("localhost", {}, dt.datetime.now(dt.UTC)):
        (tmp_path / file.name).write_bytes(file.content)

    def files(part: str) -> Files:
        return Files(tmp_path / f"{part}.crt", tmp_path / f"{part}.key", tmp_path / CA)

    server = grpc.aio.server()
    port = server.add_secure_port("localhost:0", for_server(files("plugin")))
    await server.start()
    try:
        async with grpc.aio.secure_channel(f"localhost:{port}", for_client(files(client))) as channel:
            ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/towpath/none")
            with pytest.raises(grpc.aio.AioRpcError) as answered:  # the server has no such call
                await ask(b"", timeout=20)
    finally:
        await server.stop(None)
    assert answered.value.code() is grpc.StatusCode.UNIMPLEMENTED

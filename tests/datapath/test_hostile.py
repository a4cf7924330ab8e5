"""What one tenant, or anyone on the network, does to the gateway: the others do not notice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace

import aiohttp
import pytest
from aiohttp import web

from tests.datapath.conftest import Fleet
from tests.support.envoys import App, call, loopback
from tests.support.members import ck, export, gateway, imported, key, pods, policy, service, serving, using
from tests.support.waiting import until
from towpath.datapath import envoy
from towpath.datapath.world import ServiceName

BAD = key("bad", "evil")


def gate(fleet: Fleet) -> tuple[str, int]:
    return fleet.first.address, fleet.first.settings.gateway_port


async def answer(fleet: Fleet, request: str) -> bytes:
    """Return the first line that the gateway answers to a request."""
    reader, writer = await asyncio.open_connection(*gate(fleet))
    with closing(writer):
        writer.write(request.encode())
        return (await reader.readline()).strip()


@pytest.mark.parametrize("pattern", [r"\W" * 128, "." * 256, ("(" + "a|" * 126 + "b)")])
async def test_no_pattern_of_a_tenant_blocks_the_routes_of_others(
    fleet: Fleet, session: aiohttp.ClientSession, pattern: str
) -> None:
    world = serving(BAD, export("/bad", pathRewrite={"from": pattern, "to": "/"}), fleet.pod_1.address)
    await fleet.first.apply(serving(key("new"), export("/new"), fleet.pod_1.address, world=world))
    assert await call(session, "{}:{}/new".format(*gate(fleet))) == "pod-1"


async def test_no_tiers_of_a_tenant_block_the_endpoints_of_others(
    fleet: Fleet, session: aiohttp.ClientSession
) -> None:
    names = [f"c{number}" for number in range(140)]
    tiers = ",".join(f"{ck(name)}={number}" for number, name in enumerate(names))
    many = imported(*(gateway(name, f"192.0.2.{number + 1}") for number, name in enumerate(names)))
    new = imported(gateway("cluster-1", fleet.first.address))
    world = using(BAD, many, policy("FailOver", tiers=tiers))
    await fleet.client.apply(using(key("new"), new, policy("ActiveActive"), world=world))

    async def answered() -> str:
        return await call(session, fleet.client.listener("shop", "new", 80))

    await until(answered, lambda backend: backend == "pod-1")


@pytest.fixture
async def liar() -> AsyncIterator[App]:
    """Run an application that says that no pod has seen a request."""
    app = App("liar", loopback(), 9000)

    async def lie(request: web.Request) -> web.Response:
        app.requests.append((request.method, request.path))
        return web.Response(status=503, headers={envoy.UNSERVED_HEADER: "no-route"})

    server = web.Application()
    server.router.add_route("*", "/{path:.*}", lie)
    runner = web.AppRunner(server, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, app.address, app.port).start()
    yield app
    await runner.cleanup()


async def test_an_application_cannot_have_a_post_repeated(
    fleet: Fleet, session: aiohttp.ClientSession, liar: App
) -> None:
    await fleet.first.apply(serving(key(), export(), liar.address))
    for _ in range(4):
        await call(session, fleet.url, "POST")
    assert len(liar.requests) + len(fleet.pod_3.requests) == 4


@pytest.mark.parametrize(
    "authority",
    [
        "vault.bank.tunnel.towpath.io:80",
        "web.shop.tunnel.towpath.io:80",
        "db.shop.tunnel.towpath.io:81",
        "db.shop.tunnel.towpath.io.:80",
        "10.0.0.1:80",
        "127.0.0.1:9440",
    ],
)
async def test_a_tunnel_leads_to_exported_ports_alone(fleet: Fleet, authority: str) -> None:
    """Of ports that are no HTTP, whatever other headers say."""
    world = serving(key(), export(), fleet.pod_1.address)
    named = service(80, names=["tcp"])
    world = serving(
        key("db"), export("/db"), fleet.pod_1.address, world=world, service=named, port_name="tcp"
    )
    vault = ServiceName("bank", "vault")
    world = replace(
        world,
        services={**world.services, vault: named},
        slices={**world.slices, vault: {"x": pods("vault", fleet.pod_3.address, port_name="tcp")}},
    )
    await fleet.first.apply(world)
    good = "db.shop.tunnel.towpath.io:80"
    connect = "CONNECT {} HTTP/1.1\r\nHost: {}\r\n\r\n"
    assert await answer(fleet, connect.format(good, "x")) == b"HTTP/1.1 200 OK"
    for host in (authority, good):
        assert await answer(fleet, connect.format(authority, host)) == b"HTTP/1.1 404 Not Found"


async def test_a_client_that_sends_half_its_headers_is_cut_off(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(envoy, "HEAD_SECONDS", "0.5s")
    await fleet.first.apply(serving(key("other"), export("/other"), fleet.pod_1.address))
    reader, writer = await asyncio.open_connection(*gate(fleet))
    with closing(writer):
        writer.write(b"GET /web HTTP/1.1\r\nHost: x\r\nA")
        assert await reader.readline() == b"HTTP/1.1 408 Request Timeout\r\n"

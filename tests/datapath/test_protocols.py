"""Protocols beside plain requests: gRPC with trailers, WebSocket, large bodies, and what is no HTTP."""

from __future__ import annotations

import asyncio
import io
from functools import partial
from typing import Any, cast

import aiohttp
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.datapath.conftest import Fleet
from tests.support.envoys import loopback
from tests.support.members import export, gateway, imported, key, policy, service, serving, using

BOTH = policy("ActiveActive")
OTHERS = [key(f"other-{number}") for number in range(5)]


class Health(health_pb2_grpc.HealthServicer):
    """Answers and streams, and tells of itself in trailers."""

    async def Check(self, request: object, context: object) -> health_pb2.HealthCheckResponse:  # noqa: N802
        context.set_trailing_metadata((("x-trailer", "seen"),))  # type: ignore[attr-defined]
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)

    async def Watch(self, request: object, context: object) -> object:  # noqa: N802
        for _ in range(1000):
            yield health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
            await asyncio.sleep(0.02)


async def test_grpc_with_trailers_and_a_stream_over_changes(fleet: Fleet) -> None:
    server, address = grpc.aio.server(), loopback()
    health_pb2_grpc.add_HealthServicer_to_server(Health(), server)
    server.add_insecure_port(f"{address}:9001")
    await server.start()
    own = service(80, names=["grpc-web"])
    await fleet.first.apply(serving(key(), export(), address, port=9001, port_name="grpc-web", service=own))
    world = using(key(), imported(gateway("cluster-1", fleet.first.address), name="grpc-web"), BOTH, own=own)
    await fleet.client.apply(world)
    async with grpc.aio.insecure_channel(fleet.url) as channel:
        stub = cast(Any, health_pb2_grpc.HealthStub(channel))
        check = stub.Check(health_pb2.HealthCheckRequest())
        assert (await check).status == health_pb2.HealthCheckResponse.SERVING
        assert ("x-trailer", "seen") in list(await check.trailing_metadata())
        stream = stub.Watch(health_pb2.HealthCheckRequest())
        for other in OTHERS:
            assert (await stream.read()).status == health_pb2.HealthCheckResponse.SERVING
            await fleet.client.apply(
                using(other, imported(gateway("cluster-3", fleet.second.address)), BOTH, world=world)
            )
            await fleet.first.apply(
                serving(
                    other,
                    export(f"/{other.name}"),
                    fleet.pod_1.address,
                    world=serving(key(), export(), address, port=9001, port_name="grpc-web", service=own),
                )
            )
        assert (await stream.read()).status == health_pb2.HealthCheckResponse.SERVING
        stream.cancel()
    await server.stop(0)


async def test_a_websocket_survives_changes_of_others(fleet: Fleet, session: aiohttp.ClientSession) -> None:
    async with session.ws_connect(f"http://{fleet.url}/socket") as socket:
        for other in OTHERS:
            await fleet.client.apply(
                using(
                    other,
                    imported(gateway("cluster-1", fleet.first.address)),
                    BOTH,
                    world=fleet.importing(BOTH),
                )
            )
            await socket.send_str(other.name)
            assert (await socket.receive_str(timeout=5)) == other.name


async def test_a_large_body_streams(fleet: Fleet, session: aiohttp.ClientSession) -> None:
    async with session.post(f"http://{fleet.url}/", data=io.BytesIO(b"x" * (8 << 20))) as response:
        assert (await response.json(content_type=None))["bytes"] == 8 << 20


async def test_connections_that_are_no_http(fleet: Fleet) -> None:
    """A database that speaks first, in cluster-1 and cluster-3; then cluster-1 is lost."""
    address, other, own = loopback(), loopback(), service(5432, names=["tcp-db"])

    async def database(name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{name} ready\n".encode())
        while line := await reader.readline():
            writer.write(name.encode() + b": " + line)
        writer.close()

    servers = [
        await asyncio.start_server(partial(database, name), where, 5432)
        for name, where in (("db-1", address), ("db-3", other))
    ]
    db = key("db")
    for member, where in ((fleet.first, address), (fleet.second, other)):
        await member.apply(
            serving(db, export("/db", port=5432), where, port=5432, port_name="tcp-db", service=own)
        )
    tiers = "default/default/default/cluster-1=0,default/default/default/cluster-3=1"
    gateways = (gateway("cluster-1", fleet.first.address), gateway("cluster-3", fleet.second.address))
    await fleet.client.apply(
        using(
            db,
            imported(*gateways, port=5432, name="tcp-db"),
            policy("FailOver", "cluster-1", "cluster-3", tiers=tiers),
            own=own,
        )
    )
    host, _, port = fleet.client.listener("shop", "db", 5432).rpartition(":")

    async def talk() -> list[bytes]:
        reader, writer = await asyncio.open_connection(host, int(port))
        said = [await reader.readline()]
        for line in (b"one\n", b"two\n"):
            writer.write(line)
            said.append(await reader.readline())
        writer.close()
        return said

    assert await talk() == [b"db-1 ready\n", b"db-1: one\n", b"db-1: two\n"]
    await fleet.first.kill_envoy()
    assert await talk() == [b"db-3 ready\n", b"db-3: one\n", b"db-3: two\n"]
    for server in servers:
        server.close()


async def test_a_tunnel_leads_to_exported_ports_only(fleet: Fleet) -> None:
    reader, writer = await asyncio.open_connection(fleet.first.address, fleet.first.settings.gateway_port)
    writer.write(f"CONNECT {fleet.pod_1.address}:9000 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert b" 404 " in await reader.readline()
    writer.close()

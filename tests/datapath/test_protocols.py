"""Protocols beside plain requests: gRPC with trailers, WebSocket, large bodies, and other TCP."""

from __future__ import annotations

import asyncio
import io
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, cast

import aiohttp
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.datapath.conftest import Fleet
from tests.support.envoys import loopback
from tests.support.members import export, gateway, imported, key, policy, service, serving, using
from towpath.datapath.world import World

BOTH = policy("ActiveActive")
OTHERS = [key(f"other-{number}") for number in range(5)]


class Health(health_pb2_grpc.HealthServicer):
    """Answers and streams, and sends its name in trailers."""

    async def Check(self, request: object, context: object) -> health_pb2.HealthCheckResponse:  # noqa: N802
        context.set_trailing_metadata((("x-trailer", "seen"),))  # type: ignore[attr-defined]
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)

    async def Watch(self, request: object, context: object) -> object:  # noqa: N802
        while True:
            yield health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
            await asyncio.sleep(0.02)


@asynccontextmanager
async def grpc_service(fleet: Fleet) -> AsyncIterator[tuple[World, World]]:
    """Let a gRPC service run in cluster-1. Yields the worlds of the importing and of the exporting member."""
    server, address = grpc.aio.server(), loopback()
    health_pb2_grpc.add_HealthServicer_to_server(Health(), server)
    server.add_insecure_port(f"{address}:9001")
    await server.start()
    own = service(80, names=["grpc-web"])
    far = serving(key(), export(), address, port=9001, port_name="grpc-web", service=own)
    near = using(key(), imported(gateway("cluster-1", fleet.first.address), name="grpc-web"), BOTH, own=own)
    socket = key("socket")
    far = serving(socket, export("/socket"), fleet.pod_1.address, world=far)
    to_socket = imported(gateway("cluster-1", fleet.first.address, path="/socket"))
    near = using(socket, to_socket, BOTH, world=near)
    await fleet.first.apply(far)
    await fleet.client.apply(near)
    try:
        yield near, far
    finally:
        await server.stop(0)


async def test_grpc_with_trailers(fleet: Fleet) -> None:
    async with grpc_service(fleet), grpc.aio.insecure_channel(fleet.url) as channel:
        check = cast(Any, health_pb2_grpc.HealthStub(channel)).Check(health_pb2.HealthCheckRequest())
        assert (await check).status == health_pb2.HealthCheckResponse.SERVING
        assert ("x-trailer", "seen") in list(await check.trailing_metadata())


async def test_streams_stay_open_over_changes_of_others(fleet: Fleet, session: aiohttp.ClientSession) -> None:
    """A gRPC stream and a WebSocket, while services come and go at both ends.

    TOWPATH_STREAM_SECONDS=600 does that for ten minutes.
    """
    seconds = float(os.environ.get("TOWPATH_STREAM_SECONDS", "10"))
    async with (
        grpc_service(fleet) as (near, far),
        grpc.aio.insecure_channel(fleet.url) as channel,
        session.ws_connect(f"http://{fleet.client.listener('shop', 'socket', 80)}/") as socket,
    ):
        stream = cast(Any, health_pb2_grpc.HealthStub(channel)).Watch(health_pb2.HealthCheckRequest())
        reading, changes = asyncio.create_task(_read(stream)), 0
        began = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() < began + seconds or changes < len(OTHERS):
            for other in random.Random(changes).sample(OTHERS, 2):
                path = f"/{other.name}-{changes}"
                there = imported(gateway("cluster-3", fleet.second.address, path=path))
                await fleet.client.apply(using(other, there, BOTH, world=near))
                offered = export(path, sessionSticky=changes % 2 == 0)
                await fleet.first.apply(serving(other, offered, fleet.pod_1.address, world=far))
                changes += 1
                assert not reading.done()
                await socket.send_str(path)
                assert (await socket.receive_str(timeout=5)) == path
        stream.cancel()
        assert await reading > 1


async def _read(stream: Any) -> int:
    """Return how many messages have arrived when the stream is cancelled."""
    count = 0
    with suppress(asyncio.CancelledError):
        async for _ in stream:
            count += 1
    return count


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
        lines = [await reader.readline()]
        for line in (b"one\n", b"two\n"):
            writer.write(line)
            lines.append(await reader.readline())
        writer.close()
        return lines

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

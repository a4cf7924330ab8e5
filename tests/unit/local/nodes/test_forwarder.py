"""A connection to the bridge's address is one to the same port of 127.0.0.1."""

from __future__ import annotations

import asyncio

from towpath.local.nodes import forwarder
from towpath.local.ports import free_ports

BRIDGE = "127.0.0.2"


async def test_a_connection_is_passed_on_both_ways() -> None:
    (port,) = free_ports(1)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(echo, "127.0.0.1", port), await forwarder.serve(BRIDGE, port):
        reader, writer = await asyncio.open_connection(BRIDGE, port)
        writer.write(b"hello\n")

        assert await reader.read() == b"HELLO\n", "and it ends when the other side does"
        writer.close()
        await writer.wait_closed()


async def test_a_connection_ends_when_nothing_listens() -> None:
    (port,) = free_ports(1)

    async with await forwarder.serve(BRIDGE, port):
        reader, writer = await asyncio.open_connection(BRIDGE, port)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()

"""Passes TCP connections on, so that pods reach Karmada's apiserver, which listens on 127.0.0.1 alone.

It listens at the same port of the bridge's address. TLS passes through: pods see the apiserver's certificate.

    python -m towpath.local.nodes.forwarder ADDRESS PORT
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

_CHUNK_BYTES = 65536


async def serve(address: str, port: int) -> asyncio.Server:
    """Listen at an address and pass each connection on to the same port of 127.0.0.1."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream, downstream = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(_copy(reader, downstream), _copy(upstream, writer))

    return await asyncio.start_server(pass_on, address, port)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Copy until the source ends, and end the target with it."""
    with contextlib.suppress(OSError):
        while chunk := await source.read(_CHUNK_BYTES):
            target.write(chunk)
            await target.drain()
    with contextlib.suppress(OSError):
        target.close()
        await target.wait_closed()


async def _main() -> None:
    _, address, port = sys.argv
    async with await serve(address, int(port)) as server:
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        asyncio.run(_main())

"""The program of the pod, run as there: as text, by a Python of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from aiohttp import web

from towpath.verification import probe

PROGRAM = Path(probe.__file__).read_text()


async def answer(request: web.Request) -> web.Response:
    if request.path == "/web/":
        return web.Response(text=request.headers["Host"])
    return web.Response(status=404, headers={"x-towpath-unserved": "no-route"})


async def test_each_call_is_a_line() -> None:
    app = web.Application()
    app.router.add_route("GET", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    place = "{}:{}".format(*runner.addresses[0])
    nothing = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1")
    silent = nothing.sockets[0].getsockname()[1]
    nothing.close()
    targets = [f"GET {place} /web/", f"GET {place} /other", f"GET 127.0.0.1:{silent} /"]

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, "5", *targets, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    await runner.cleanup()

    seen: list[dict[str, Any]] = [json.loads(line) for line in output.splitlines()]
    assert [entry["target"] for entry in seen] == targets
    assert [(entry["status"], entry["unserved"]) for entry in seen] == [(200, ""), (404, "no-route"), (0, "")]
    assert [bool(entry["error"]) for entry in seen] == [False, False, True]


async def test_a_tunnel_is_asked_for_by_its_host() -> None:
    heard: list[bytes] = []

    async def gateway(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(gateway, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]

    seen = await asyncio.to_thread(probe.call, f"CONNECT 127.0.0.1:{port} web.shop.tunnel.towpath.io:6379", 5)
    server.close()

    assert seen["status"] == 200
    assert heard[0].startswith(b"CONNECT web.shop.tunnel.towpath.io:6379 HTTP/1.1\r\n")
    assert b"Host: web.shop.tunnel.towpath.io:6379\r\n" in heard[0]

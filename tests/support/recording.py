"""A proxy in front of an apiserver that records each request as RBAC sees it."""

from __future__ import annotations

import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp
import yaml
from aiohttp import web

from tests.support.envoys import loopback
from towpath.karmada.client import APPLY

_PORT = 8001
_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_HOP = {"connection", "content-length", "host", "transfer-encoding"}


class Access(NamedTuple):
    """A verb on a resource; ``name`` is empty where the request names no object, or only to create it."""

    verb: str
    group: str
    resource: str
    name: str = ""


@asynccontextmanager
async def recording(kubeconfig: Path, folder: Path) -> AsyncIterator[tuple[Path, set[Access]]]:
    """Yield a kubeconfig that leads to the proxy, and what has been requested until then."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster = config["clusters"][0]["cluster"]
    upstream = cluster["server"]
    trusted = ssl.create_default_context(
        cadata=base64.b64decode(cluster.pop("certificate-authority-data")).decode()
    )
    seen: set[Access] = set()
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=trusted, limit=0),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
    ) as session:

        async def forward(request: web.Request) -> web.StreamResponse:
            seen.update(_accesses(request))
            headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
            async with session.request(
                request.method, upstream + request.path_qs, headers=headers, data=await request.read()
            ) as answer:
                kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
                response = web.StreamResponse(status=answer.status, headers=kept)
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                return response

        server = web.Application(client_max_size=1 << 30)
        server.router.add_route("*", "/{path:.*}", forward)
        runner = web.AppRunner(server, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        address = loopback()
        await web.TCPSite(runner, address, _PORT).start()
        cluster["server"] = f"http://{address}:{_PORT}"
        path = folder / "recorded.kubeconfig"
        path.write_text(yaml.safe_dump(config))
        try:
            yield path, seen
        finally:
            await runner.cleanup()


def _accesses(request: web.Request) -> set[Access]:
    """Return what a request needs: ``/api/v1/...`` or ``/apis/GROUP/VERSION/...``."""
    parts = request.path.strip("/").split("/")
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
    if rest[0] == "namespaces" and len(rest) > 2:
        rest = rest[2:]
    name = rest[1] if len(rest) > 1 else ""
    resource = "/".join((rest[0], *rest[2:]))
    verb = _VERBS[request.method]
    if verb == "get" and not name:
        verb = "watch" if "watch" in request.query else "list"
        name = request.query.get("fieldSelector", "").removeprefix("metadata.name=")
    found = {Access(verb, group, resource, name)}
    if verb == "patch" and request.content_type == APPLY and resource == rest[0]:
        found.add(Access("create", group, resource))  # what is not there yet is created
    return found

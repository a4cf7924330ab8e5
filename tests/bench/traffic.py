"""A Prometheus of the bench's own: rates between all pairs of a large fleet, none the same as before."""

from __future__ import annotations

import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

_SPREAD = 0.3
"""A load that is noise to people, and a change to the plugin."""


@asynccontextmanager
async def traffic(clusters: int) -> AsyncIterator[str]:
    """Answer queries about the members of ``synthetic``, for the length of the block; give the URL."""
    names = [f"member-{number:03}" for number in range(clusters)]

    async def answer(_: web.Request) -> web.Response:
        found = [
            {"metric": labels, "value": [time.time(), str(10 * random.uniform(1 - _SPREAD, 1 + _SPREAD))]}
            for counted in ("requests", "errors")
            for importer in names
            for exporter in names
            if importer != exporter
            for labels in [
                {
                    "towpath_rate": counted,
                    "cluster": importer,
                    "exported_cluster": f"default/default/default/{exporter}",
                }
            ]
        ]
        body = {"status": "success", "data": {"resultType": "vector", "result": found}}
        return web.Response(body=json.dumps(body).encode(), content_type="application/json")

    app = web.Application()
    app.router.add_get("/api/v1/query", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield "http://{}:{}".format(*runner.addresses[0])
    finally:
        await runner.cleanup()

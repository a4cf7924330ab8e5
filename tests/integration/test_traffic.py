"""The plugin's query, answered by a real Prometheus that scrapes the metrics of real agents."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from tests.support.prometheus import prometheus
from tests.support.waiting import until
from towpath.net.traffic import Traffic
from towpath.traffic.prometheus import Prometheus, Target
from towpath.traffic.query import Unmeasured
from towpath.traffic.rates import NONE, Pair, Rates

pytestmark = pytest.mark.timeout(120)
MEMBERS = frozenset({"a", "b", "c"})
WINDOW_SECONDS = 4
RATES = {Pair("a", "b"): (40.0, 10.0), Pair("a", "c"): (20.0, 0.0), Pair("c", "b"): (0.0, 0.0)}
"""Requests and errors per second that the agents count."""
NEAR = 0.15


def statistics(importer: str, seconds: float) -> bytes:
    """Return what Envoy tells its agent after some time: two services, and what its own pods are sent."""

    def host(exporter: str, share: float) -> dict[str, Any]:
        requests, errors = (1000 + int(rate * share * seconds) for rate in RATES[Pair(importer, exporter)])
        stats = [{"name": "rq_total", "value": str(requests)}, {"name": "rq_error", "value": str(errors)}]
        return {"stats": stats, "locality": {"region": "r", "zone": "z", "sub_zone": f"g/{exporter}"}}

    exporters = [pair.exporter for pair in RATES if pair.importer == importer]
    own = {"stats": [{"name": "rq_total", "value": str(int(500 * seconds))}]}
    clusters = [
        {"name": "egress/shop/web:80", "host_statuses": [host(exporter, 0.75) for exporter in exporters]},
        {"name": "egress/shop/api:80", "host_statuses": [host(exporter, 0.25) for exporter in exporters]},
        {"name": "ingress/shop/own:80", "host_statuses": [own]},
    ]
    return json.dumps({"cluster_statuses": clusters}).encode()


@asynccontextmanager
async def agent(importer: str) -> AsyncIterator[str]:
    """Serve the metrics of an agent; give the address."""
    traffic, registry, began = Traffic(Path("/nowhere")), CollectorRegistry(), time.monotonic()
    registry.register(traffic)

    async def metrics(_: web.Request) -> web.Response:
        traffic.take(statistics(importer, time.monotonic() - began))
        return web.Response(body=generate_latest(registry))

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield "{}:{}".format(*runner.addresses[0])
    finally:
        await runner.cleanup()


def job(name: str, label: str, agents: Mapping[str, str]) -> dict[str, Any]:
    """Return what scrapes each agent with a label that holds its member."""
    found = [{"targets": [address], "labels": {label: member}} for member, address in agents.items()]
    return {"job_name": name, "static_configs": found}


def are_right(found: Rates) -> bool:
    return found.keys() == RATES.keys() and all(
        rate.errors is not None
        and abs(rate.requests - RATES[pair][0]) <= NEAR * RATES[pair][0]
        and abs(rate.errors - RATES[pair][1]) <= NEAR * RATES[pair][1]
        for pair, rate in found.items()
    )


async def test_a_real_prometheus_answers_the_query(tmp_path: Path) -> None:
    """It renames the label ``cluster`` of the agents where its targets have one, and keeps it elsewhere."""
    async with AsyncExitStack() as stack:
        agents = {name: await stack.enter_async_context(agent(name)) for name in ("a", "c")}
        jobs = (job("by-cluster", "cluster", agents), job("by-member", "member", agents))
        running = await stack.enter_async_context(prometheus(tmp_path / "prometheus", *jobs, rate="500ms"))
        for label in ("cluster", "member"):
            asked = Prometheus(Target(running.url, label), WINDOW_SECONDS)

            async def look(asked: Prometheus = asked) -> Rates:
                try:
                    return await asked.ask(MEMBERS)
                except Unmeasured:
                    return NONE

            await until(look, are_right, patience=60)
        with pytest.raises(Unmeasured) as caught:
            await Prometheus(Target(running.url, "job"), WINDOW_SECONDS).ask(MEMBERS)
        assert (caught.value.reason, "of other clusters" in caught.value.detail) == ("NoSeries", True)

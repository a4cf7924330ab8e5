"""Alerts that a running Prometheus fires on the metrics of a data path: gateways and updates fail."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp

from tests.datapath.conftest import Fleet
from tests.support.envoys import call
from tests.support.prometheus import prometheus
from towpath.datapath.envoy import Kind
from towpath.net.snapshot import snapshot
from towpath.net.traffic import Traffic
from towpath.serving.health_server import HealthServer
from towpath.traffic.prometheus import Prometheus, Target
from towpath.traffic.rates import Pair

OF_DATA_PATHS = {"TowpathGatewayUnreachable", "TowpathDataPathErrors", "TowpathDataPathRejected"}

WINDOW_SECONDS = 60


async def well() -> str:
    return ""


async def test_those_of_a_real_data_path_fire(
    fleet: Fleet, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """One gateway is gone, the pods behind the other fail, and Envoy takes no update of two types.

    The plugin's query has the rates of the same requests.
    """
    client = fleet.client
    traffic = Traffic(client.folder / "admin.sock")
    client.metrics.registry.register(traffic)
    fleet.pod_3.status = 500
    await fleet.first.kill_envoy()
    health = HealthServer("127.0.0.1:0", synced=dict, check=well, metrics=client.metrics.registry)

    async def use() -> None:
        while True:
            await call(session, fleet.url)

    try:
        async with health, asyncio.TaskGroup() as tasks:
            address = f"127.0.0.1:{health.port}"
            scraped = {"targets": [address], "labels": {"member": "cluster-2"}}
            job = {"job_name": "towpath-net", "static_configs": [scraped]}
            async with prometheus(tmp_path / "prometheus", job) as judge:
                running = [tasks.create_task(traffic.run()), tasks.create_task(use())]
                await judge.fires("TowpathGatewayUnreachable", "TowpathDataPathErrors")
                await reject(fleet)
                await judge.fires(*OF_DATA_PATHS)
                asked = Prometheus(Target(judge.url, "member"), WINDOW_SECONDS)
                rates = await asked.ask({"cluster-1", "cluster-2", "cluster-3"})
                requests, errors = rates[Pair("cluster-2", "cluster-3")]
                assert requests > 0
                assert errors is not None
                assert errors > 0.9 * requests, "every answer is a 500"
            for task in running:
                task.cancel()
    finally:
        for kind in Kind:
            client.metrics.rejections[kind.name].reset()


async def reject(fleet: Fleet) -> None:
    """Send Envoy what it does not take."""
    client = fleet.client
    bodies = {kind: dict(found) for kind, found in client.derived.resources.items()}
    bodies[Kind.CLUSTER]["bad"] = {"name": "bad", "type": "EDS", "lb_policy": "CLUSTER_PROVIDED"}
    bodies[Kind.LISTENER]["bad"] = {"name": "bad"}
    client.snapshot = snapshot(bodies, client.snapshot, lambda _: None)
    await client.discovery.publish(client.snapshot)
    await client.discovery.settled()

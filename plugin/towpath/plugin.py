"""The plugin process: the controller, and beside it the gRPC server and the health and metrics server."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from towpath.controller.controller import Controller
from towpath.controller.metrics import Metrics
from towpath.inventory.inventory import Inventory
from towpath.karmada.client import Client
from towpath.karmada.installation import Installation
from towpath.karmada.leader import Leadership
from towpath.karmada.leading import Leading, Unopposed, WhileInstalled
from towpath.karmada.live import read_live
from towpath.review.explanation import Explainer
from towpath.review.status import Aggregation
from towpath.rpc.server import PluginServer, Port
from towpath.serving import gc_tuning
from towpath.serving.health_server import HealthServer
from towpath.traffic.meter import Meter
from towpath.traffic.prometheus import Prometheus, Target


async def serve(
    client: Client,
    *,
    socket: Path | None,
    port: Port | None = None,
    health: str | None = None,
    lease: str | None = None,
    prometheus: Target | None = None,
) -> None:
    """Run until cancelled, then stop gracefully.

    ``socket`` and ``port`` are where gRPC is served, ``health`` is the ``host:port`` of health and metrics,
    ``lease`` the ``namespace/name`` of the lease by which one of several plugins leads, and ``prometheus``
    what measures the requests between members; each is optional.
    Raises SocketUnusable if another program uses the socket or a port, UsageError if certificates are
    invalid.
    """
    gc_tuning.collect_rarely()
    metrics = Metrics()
    metrics.report_credentials(lambda: client.expires)
    leading: Leading = Leadership(client, *lease.split("/", 1)) if lease else Unopposed(client)
    installation = Installation(client)
    controller = Controller(client, metrics, WhileInstalled(leading, installation))
    installation.scope_known = controller.inventory.put_path_scope
    meter = _meter(prometheus, controller.inventory, metrics)
    async with AsyncExitStack() as open_:
        server = None
        if socket is not None or port is not None:
            inventory = controller.inventory
            server = PluginServer(
                inventory,
                Aggregation(inventory, controller.withheld, controller.early),
                partial(read_live, client),
                explainer=Explainer(inventory, controller.withheld, controller.pending_since),
                meter=meter,
                socket=socket,
                port=port,
            )
            await open_.enter_async_context(server)
        tasks = await open_.enter_async_context(asyncio.TaskGroup())
        tasks.create_task(installation.reflector.run())
        tasks.create_task(meter.run())
        running = tasks.create_task(controller.run())
        if health is not None:

            async def check() -> str:
                if running.done():
                    return "The controller has ended."
                return await server.check() if server is not None else ""

            await open_.enter_async_context(
                HealthServer(
                    health,
                    synced=controller.synced,
                    check=check,
                    metrics=metrics.registry,
                    problem=lambda: installation.problem or client.problem,
                )
            )
        await installation.reflector.synced.wait()
        await controller.inventory.synced()
        if server is not None:
            server.in_sync()
        await running


def _meter(at: Target | None, inventory: Inventory, metrics: Metrics) -> Meter:
    """Return what measures the traffic: nothing does without a Prometheus."""
    if at is None:
        return Meter()

    def members() -> frozenset[str]:
        return frozenset(inventory.world.fleet.members)

    return Meter(Prometheus(at).ask, members, lambda outcome: metrics.traffic_queries[outcome].inc())

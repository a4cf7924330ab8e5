"""The plugin as a whole: the controller, and beside it what tells of it over gRPC and HTTP."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from towpath import garbage
from towpath.controller.run import Controller
from towpath.health import HealthServer
from towpath.karmada.client import Client
from towpath.karmada.leader import Leadership
from towpath.metrics import Metrics
from towpath.rpc.server import PluginServer


async def serve(
    client: Client, *, socket: Path | None, health: str | None = None, lease: str | None = None
) -> None:
    """Run until cancelled, then stop gracefully.

    ``socket`` is where gRPC calls are answered, ``health`` the ``host:port`` of health and metrics, and
    ``lease`` the ``namespace/name`` by which one of several plugins leads; each can be left out. Raises
    SocketUnusable if another program has the socket or the port.
    """
    garbage.collect_rarely()
    metrics = Metrics()
    leadership = Leadership(client, *lease.split("/", 1)) if lease else None
    controller = Controller(client, metrics, leadership)
    async with AsyncExitStack() as open_:
        server = None
        if socket is not None:
            server = await open_.enter_async_context(PluginServer(controller.inventory.world, socket))
        tasks = await open_.enter_async_context(asyncio.TaskGroup())
        running = tasks.create_task(controller.run())
        if health is not None:
            alive = running.done
            await open_.enter_async_context(
                HealthServer(
                    health, synced=controller.synced, alive=lambda: not alive(), metrics=metrics.exposition
                )
            )
        await controller.inventory.synced()
        if server is not None:
            server.in_sync()
        await running

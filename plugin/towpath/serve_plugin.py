"""The plugin as a whole: the controller, and beside it the gRPC server that tells what it knows."""

from __future__ import annotations

import asyncio
from pathlib import Path

from towpath import garbage
from towpath.controller.run import Controller
from towpath.karmada.client import Client
from towpath.rpc.server import PluginServer


async def serve(client: Client, *, socket: Path | None) -> None:
    """Run until cancelled, then stop gracefully. Without a socket there is only the controller.

    Raises SocketUnusable if another plugin has the socket.
    """
    garbage.collect_rarely()
    controller = Controller(client)
    if socket is None:
        await controller.run()
        return
    async with PluginServer(controller.inventory.world, socket) as server, asyncio.TaskGroup() as tasks:
        tasks.create_task(controller.run())
        await controller.inventory.synced()
        server.in_sync()

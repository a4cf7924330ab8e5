"""The page's process: the feed from the plugin, the server for browsers, and that of health and metrics."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from towpath.page.access import Access
from towpath.page.feed import Feed
from towpath.page.fleet import ServiceId
from towpath.page.metrics import Metrics
from towpath.page.server import PageServer
from towpath.page.tls import TlsFiles
from towpath.proto.v1alpha1.service_pb2 import Explanation
from towpath.rpc import client
from towpath.serving.health_server import HealthServer

if TYPE_CHECKING:
    from towpath.rpc.credentials import Files


async def serve(
    plugin: str,
    plugin_files: Files | None,
    listen: str,
    access: Access,
    *,
    tls: TlsFiles | None = None,
    health: str | None = None,
) -> None:
    """Run until cancelled. ``plugin`` is the gRPC target of the plugin.

    Raises UsageError if an address or a file cannot be used, SocketUnusable if a port cannot.
    """

    async def explain(service: ServiceId) -> Explanation:
        return await client.explain(plugin, *service, plugin_files)

    feed = Feed(lambda: client.watch_fleet(plugin, plugin_files), explain)
    metrics = Metrics()
    async with AsyncExitStack() as open_:
        await open_.enter_async_context(PageServer(listen, feed, access, metrics, tls))
        tasks = await open_.enter_async_context(asyncio.TaskGroup())
        following = tasks.create_task(feed.run())

        async def check() -> str:
            return "The plugin is no longer followed." if following.done() else ""

        if health is not None:
            server = HealthServer(
                health, synced=lambda: {"page": True}, check=check, metrics=metrics.registry
            )
            await open_.enter_async_context(server)
        await following

"""The webhook process put together: rules, the plugin if there is one to ask, the servers."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from towpath import garbage
from towpath_webhook.app import App
from towpath_webhook.endpoints import endpoints
from towpath_webhook.metrics import Metrics
from towpath_webhook.server import serve


async def run(
    host: str, port: int, *, cert: Path, key: Path, plugin: str | None = None, health: str | None = None
) -> None:
    """Serve until cancelled. ``plugin`` is a gRPC target, ``health`` an address for /healthz and /metrics.

    Raises what ``serve`` raises, and SocketUnusable if nothing can listen at ``health``.
    """
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        reviewer = None
        if plugin is not None:
            from towpath_webhook.plugin import Plugin

            reviewer = await stack.enter_async_context(Plugin(plugin, metrics))
        if health is not None:
            from towpath.health import HealthServer

            await stack.enter_async_context(
                HealthServer(
                    health,
                    synced=lambda: {"webhook": True},
                    alive=lambda: True,
                    metrics=metrics.exposition,
                )
            )
        garbage.collect_rarely()
        garbage.keep()
        await serve(App(endpoints(reviewer), metrics), host, port, cert=cert, key=key)

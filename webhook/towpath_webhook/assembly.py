"""Assembles the application: rules, plugin client, metrics and health server."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from towpath.serving import gc_tuning
from towpath_webhook.http.access import Routes
from towpath_webhook.http.app import App
from towpath_webhook.http.dispatch import endpoints
from towpath_webhook.metrics import Metrics

if TYPE_CHECKING:
    from towpath_webhook.plugin.client import PluginAddress

_YOUNG_THRESHOLD = 2_000
"""New objects after which Python looks for cycles: some tens of requests, and at most some tens of closed
connections, each of which is a cycle and holds 256 KiB of TLS buffers."""


@asynccontextmanager
async def application(plugin: PluginAddress | None = None, health: str | None = None) -> AsyncIterator[App]:
    """Give the application. ``health`` is the HOST:PORT of /healthz, /readyz and /metrics.

    Raises UsageError if the certificates for the plugin or ``health`` are invalid, SocketUnusable if the
    health server cannot listen."""
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        reviewer = None
        if plugin is not None:
            from towpath_webhook.plugin.client import PluginClient

            reviewer = await stack.enter_async_context(PluginClient(plugin, metrics))
        app = App(Routes(endpoints(reviewer), endpoints(None)), metrics)
        if health is not None:
            from towpath.serving.health_server import HealthServer

            server = HealthServer(
                health,
                synced=lambda: {"rules": not app.is_stopping},
                check=app.check,
                metrics=metrics.registry,
            )
            await stack.enter_async_context(server)
        gc.set_threshold(_YOUNG_THRESHOLD)
        gc_tuning.keep()
        yield app

"""The application put together: the rules, the plugin if there is one to ask, and what is told of them."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from towpath.serving import gc_tuning
from towpath_webhook.http.app import App
from towpath_webhook.http.dispatch import endpoints
from towpath_webhook.metrics import Metrics

if TYPE_CHECKING:
    from towpath_webhook.plugin.client import Address

_YOUNG = 2_000
"""Objects after which Python looks for cycles: some tens of requests, and no more than some tens of closed
connections, each of which is one and holds 256 KiB of TLS buffer."""


@asynccontextmanager
async def application(plugin: Address | None = None, health: str | None = None) -> AsyncIterator[App]:
    """Give the application. ``plugin`` is whom to ask, ``health`` an address for /healthz and /metrics.

    Raises UsageError if the plugin's certificates cannot be read, SocketUnusable if nothing can listen at
    ``health``.
    """
    metrics = Metrics()
    app: App | None = None
    async with AsyncExitStack() as stack:
        reviewer = None
        if plugin is not None:
            from towpath_webhook.plugin.client import Plugin

            reviewer = await stack.enter_async_context(Plugin(plugin, metrics))
        if health is not None:
            from towpath.serving.health_server import HealthServer

            def synced() -> dict[str, bool]:
                return {"rules": app is not None and not app.ending}

            told = HealthServer(health, synced=synced, alive=lambda: True, metrics=metrics.exposition)
            await stack.enter_async_context(told)
        gc.set_threshold(_YOUNG)
        gc_tuning.keep()
        app = App(endpoints(reviewer), metrics)
        yield app

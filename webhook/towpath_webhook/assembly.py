"""The application put together: the rules, the plugin if there is one to ask, and what is told of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from towpath import garbage
from towpath_webhook.app import App
from towpath_webhook.endpoints import endpoints
from towpath_webhook.metrics import Metrics

if TYPE_CHECKING:
    from towpath_webhook.plugin import Address


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
            from towpath_webhook.plugin import Plugin

            reviewer = await stack.enter_async_context(Plugin(plugin, metrics))
        if health is not None:
            from towpath.health import HealthServer

            def synced() -> dict[str, bool]:
                return {"rules": app is not None and not app.ending}

            told = HealthServer(health, synced=synced, alive=lambda: True, metrics=metrics.exposition)
            await stack.enter_async_context(told)
        garbage.collect_rarely()
        garbage.keep()
        app = App(endpoints(reviewer), metrics)
        yield app

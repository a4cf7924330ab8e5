"""The stream of one viewer: server-sent events, each the difference to what the viewer has been sent.

Nothing is queued: while a viewer does not read, its differences add up to one. A viewer whose connection
takes nothing for ``STALL_SECONDS`` is dropped, and one whose token has been replaced is sent away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from towpath.page.feed import Feed
from towpath.page.frames import State
from towpath.page.metrics import Metrics

CLOSE_SECONDS = 0.25
"""Changes that follow each other within this time are sent as one."""
ALIVE_SECONDS = 15.0
"""A silent stream is written to this often: proxies keep it, and a connection that is dead is noticed."""
STALL_SECONDS = 30.0
RETRY_MILLISECONDS = 2000
"""After this time a browser connects again."""


async def follow(
    request: web.Request,
    response: web.StreamResponse,
    feed: Feed,
    metrics: Metrics,
    allowed: Callable[[], bool],
) -> None:
    """Send the state, and then what changes, until the viewer goes or is no longer allowed."""
    sent: State | None = None
    try:
        await _send(response, b"retry: %d\n\n" % RETRY_MILLISECONDS)
        while allowed():
            if sent is None or sent.number != feed.state.number:
                frame, sent = feed.frame(sent), feed.state
                await _send(response, b"data: " + frame + b"\n\n")
                metrics.frames.inc()
                await asyncio.sleep(CLOSE_SECONDS)
            elif not await _is_set(feed.changed):
                await _send(response, b": alive\n\n")
    except TimeoutError:
        metrics.dropped.inc()
        if request.transport is not None:
            request.transport.abort()
    except ConnectionError:
        pass  # the viewer has gone


async def _is_set(changed: asyncio.Event) -> bool:
    """Wait for a change; return whether there is one, or it is time to show that the stream is alive."""
    try:
        async with asyncio.timeout(ALIVE_SECONDS):
            await changed.wait()
    except TimeoutError:
        return False
    return True


async def _send(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(STALL_SECONDS):
        await response.write(data)

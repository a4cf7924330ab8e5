"""The end of a node proxy: clients change to another one before Envoy goes.

A pod that is told to end is first taken out of the EndpointSlices, and kube-proxy follows. New connections
then go to the next proxy of the node, and those that are open stay here. So Envoy is told to end them one
by one: after an answer it closes a connection (HTTP/1.1 ``Connection: close``, HTTP/2 GOAWAY), and takes new
ones until it is stopped itself, which the pod delays for as long (``preStop`` in deploy/datapath).
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import structlog

log = structlog.get_logger()

NOTICE_SECONDS = 3.0
"""Time in which new connections begin to go elsewhere."""
_DRAIN = "http://envoy/drain_listeners?graceful&skip_exit"
_PATIENCE = aiohttp.ClientTimeout(total=2.0)


async def drain(admin: Path, seconds: float) -> None:
    """Let Envoy end its connections, within so many seconds. ``admin`` is its admin socket."""
    if seconds <= 0:
        return
    notice = min(NOTICE_SECONDS, seconds / 2)
    log.info("draining", seconds=seconds)
    await asyncio.sleep(notice)
    connector = aiohttp.UnixConnector(path=str(admin))
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=_PATIENCE) as session,
            session.post(_DRAIN) as answer,
        ):
            answer.raise_for_status()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        log.warning("Envoy is not told to drain", error=str(error))
    await asyncio.sleep(seconds - notice)

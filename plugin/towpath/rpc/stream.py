"""Bidirectional streams: each waits for the next request of its client until the client or the server stops.

gRPC ends a stream that waits for its client only if the waiting task is cancelled. ``stop`` cancels exactly
those tasks: a request that has been read is answered first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeVar, cast

from towpath.rpc.errors import stopping

Request = TypeVar("Request")


class Streams:
    """The streams of one method."""

    def __init__(self) -> None:
        self._stopped = asyncio.Event()
        self._waiting: set[asyncio.Task[Any]] = set()

    async def requests(self, source: AsyncIterator[Request]) -> AsyncIterator[Request]:
        """Yield the requests of a client until either side stops. Raises StatusError if the server has
        stopped."""
        if self._stopped.is_set():
            raise stopping()
        task = cast("asyncio.Task[Any]", asyncio.current_task())  # each stream has its own
        while not self._stopped.is_set():
            self._waiting.add(task)
            try:
                request = await anext(source)
            except StopAsyncIteration:
                return
            except asyncio.CancelledError:
                if not self._stopped.is_set():
                    raise
                task.uncancel()
                return
            finally:
                self._waiting.discard(task)
            yield request

    def stop(self) -> None:
        """End the streams."""
        self._stopped.set()
        for task in self._waiting:
            task.cancel()

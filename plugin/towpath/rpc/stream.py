"""Streams on which a client asks and asks: they wait for its next request until it, or the server, stops.

gRPC has no way to end a stream that waits for its client but to cancel who waits. So that is what ``stop``
does, to those that wait and to nobody else: what has been read is answered first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeVar, cast

from towpath.rpc.errors import stopping

Request = TypeVar("Request")


class Conversations:
    """The streams of one method."""

    def __init__(self) -> None:
        self._stopped = asyncio.Event()
        self._waiting: set[asyncio.Task[Any]] = set()

    async def requests(self, source: AsyncIterator[Request]) -> AsyncIterator[Request]:
        """Yield a client's requests until either side stops. Raises Refused if the server has already."""
        if self._stopped.is_set():
            raise stopping()
        task = cast("asyncio.Task[Any]", asyncio.current_task())  # each stream has one
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

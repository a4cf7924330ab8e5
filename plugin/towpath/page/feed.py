"""The one stream of the plugin that all viewers share, and the state that it leads to.

Twenty viewers cost the plugin what one does. A stream that ends is begun anew: until then the last state
stays, and says since when it is not live. The chain of a service is asked for when a viewer opens it, once
for each revision of the service, whoever else looks at it.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import structlog

from towpath.errors import TowpathError
from towpath.model.times import rfc3339
from towpath.page import history
from towpath.page.explained import explained
from towpath.page.fleet import Fleet, ServiceId, after
from towpath.page.frames import Source, State, frame
from towpath.page.picture import EMPTY, Picture, picture, row_id, without_traffic
from towpath.proto.v1alpha1.inventory_pb2 import WatchFleetResponse
from towpath.proto.v1alpha1.service_pb2 import Explanation
from towpath.rules.reasons import TrafficReason

log = structlog.get_logger()

Watch = Callable[[], AsyncIterator[WatchFleetResponse]]
Explain = Callable[[ServiceId], Awaitable[Explanation]]
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.5, 10.0
TRAFFIC_SECONDS = 60.0
"""Time without the plugin after which the traffic of then says nothing about now."""
MAX_EXPLANATIONS = 256
"""Chains that are remembered."""
MAX_CALLS = 4
"""Chains that are asked for at the same time."""
_MAX_FRAMES = 16


class Feed:
    """The present state. ``changed`` is set, and replaced, whenever there is a new one."""

    def __init__(self, watch: Watch, explain: Explain) -> None:
        self._watch, self._explain = watch, explain
        self.state = State(1, source=Source(since=_now(), problem="The plugin has not answered yet."))
        self.changed = asyncio.Event()
        self._heard = math.inf
        self._frames: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._explanations: OrderedDict[tuple[ServiceId, str], asyncio.Task[bytes]] = OrderedDict()
        self._calls = asyncio.Semaphore(MAX_CALLS)

    async def run(self) -> None:
        """Follow the plugin until cancelled."""
        wait = FIRST_RETRY_SECONDS
        while True:
            began = time.monotonic()
            try:
                await self._follow()
            except TowpathError as error:
                self._lose(str(error))
            if time.monotonic() - began > LAST_RETRY_SECONDS:
                wait = FIRST_RETRY_SECONDS
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load, no secret
            wait = min(2 * wait, LAST_RETRY_SECONDS)

    async def _follow(self) -> None:
        fleet = Fleet()
        async for part in self._watch():
            fleet = after(fleet, part)
            self._heard = time.monotonic()
            if part.complete:
                self._show(picture(fleet, self.state.picture))

    def _show(self, now: Picture) -> None:
        state = self.state
        if state.source.connected and now == state.picture:
            return
        source = state.source
        if not source.connected:
            log.info("following the plugin", members=len(now.members), services=len(now.services))
            source = Source(connected=True, since=_now())
        entries = state.history
        if state.picture is not EMPTY:
            first = entries[-1].number + 1 if entries else 1
            entries = (*entries, *history.changes(state.picture, now, _now(), first))[-history.LENGTH :]
        self._publish(state._replace(picture=now, source=source, history=entries))

    def _lose(self, problem: str) -> None:
        source, shown = self.state.source, self.state.picture
        if source.connected:
            log.warning("the stream of the plugin has ended", reason=problem)
        since = _now() if source.connected else source.since
        if time.monotonic() - self._heard > TRAFFIC_SECONDS:
            shown = without_traffic(shown, TrafficReason.PLUGIN_LOST)
        if (lost := Source(since=since, problem=problem)) != source or shown is not self.state.picture:
            self._publish(self.state._replace(source=lost, picture=shown))

    def _publish(self, state: State) -> None:
        self.state = state._replace(number=self.state.number + 1)
        self.changed.set()
        self.changed = asyncio.Event()

    def frame(self, before: State | None) -> bytes:
        """Return what turns a state into the present one; viewers with the same state share it."""
        key = (before.number if before else 0, self.state.number)
        made = self._frames.get(key)
        if made is None:
            made = self._frames[key] = frame(before, self.state)
            if len(self._frames) > _MAX_FRAMES:
                self._frames.popitem(last=False)
        return made

    async def explanation(self, service: ServiceId) -> bytes:
        """Return the chain of a service as JSON. Raises NotFound, Unreachable."""
        row = self.state.picture.services.get(row_id(service))
        key = (service, row.revision if row else f"#{self.state.number}")
        task = self._explanations.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._explanations[key] = asyncio.ensure_future(self._ask(service))
            task.add_done_callback(_hear)
            if len(self._explanations) > MAX_EXPLANATIONS:
                self._explanations.popitem(last=False)
        # A viewer that leaves does not take the answer from the others.
        return await asyncio.shield(task)

    async def _ask(self, service: ServiceId) -> bytes:
        async with self._calls:
            return msgspec.json.encode(explained(await self._explain(service)))


def _hear(task: asyncio.Task[bytes]) -> None:
    """Take note of an error, which every viewer that waits has been told."""
    if not task.cancelled():
        task.exception()


def _now() -> str:
    return rfc3339(time.time())

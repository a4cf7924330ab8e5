"""Events: each change of mind about an object, told where ``kubectl describe`` shows it.

``news`` says which changes of conditions are worth one. Events are sent beside the work and never delay or
fail it: they are dropped when the apiserver does not take them, when the same has been said lately, and, as
client-go's recorder does it, when one object has too much to say. While Karmada is busy they wait.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, NamedTuple

import structlog

from towpath.controller.workqueue import Bucket
from towpath.errors import ApiError
from towpath.model.condition import FALSE, READY, TRUE
from towpath.model.times import rfc3339
from towpath.rules.reasons import ConditionReason

log = structlog.get_logger()
NORMAL, WARNING = "Normal", "Warning"
SAME = 600.0
"""Seconds within which the same is not said again of the same object."""
BURST, EACH = 25, 300.0
"""Events that an object may have at once, and the seconds after which it may have one more."""
_MOST = 1000
"""Events that wait to be sent, and objects that are remembered."""
_LONGEST = 1024
_PAUSE = 1.0
"""Seconds after which to see whether Karmada is still busy."""
_GOOD = {("Conflict", FALSE)}
_SOURCE = "towpath"


class About(NamedTuple):
    """The object that an event is about. ``namespace`` is empty if it is in none."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


class News(NamedTuple):
    """What an event says. ``type`` is Normal or Warning."""

    type: str
    reason: str
    message: str


def news(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[News]:
    """Yield what is worth an event when a status becomes another.

    A condition that changes its status or its reason is, but for an import that is on its way, and but for
    one that has been there from the start and is as it should be.
    """
    known = {c["type"]: c for c in before.get("conditions") or ()}
    for c in after.get("conditions") or ():
        was = known.get(c["type"], {})
        good = c["status"] == TRUE if (c["type"], FALSE) not in _GOOD else c["status"] == FALSE
        same = (was.get("status"), was.get("reason")) == (c["status"], c["reason"])
        if same or (c["type"] == READY and c["reason"] == ConditionReason.PENDING) or (not was and good):
            continue
        yield News(NORMAL if good else WARNING, c["reason"], c["message"])


class Events:
    """Events to be sent. ``run`` sends them by ``send``, which gets one event, while not ``is_busy``."""

    def __init__(
        self, send: Callable[[dict[str, Any]], Awaitable[None]], is_busy: Callable[[], bool]
    ) -> None:
        self._send, self._is_busy = send, is_busy
        self._waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_MOST)
        self._said: OrderedDict[tuple[About, News], float] = OrderedDict()
        self._allowed: OrderedDict[About, Bucket] = OrderedDict()

    def tell(self, about: About, one: News, now: float) -> None:
        """Have an event sent, unless there has been enough said. ``now`` is in seconds since 1970."""
        last = self._said.get((about, one))
        if (last is not None and now - last < SAME) or self._waiting.full():
            return
        bucket = self._allowed.setdefault(about, Bucket(1 / EACH, BURST))
        if not bucket.take(now):
            return
        self._said[about, one] = now
        self._said.move_to_end((about, one))
        for kept in (self._said, self._allowed):
            if len(kept) > _MOST:
                kept.popitem(last=False)
        self._waiting.put_nowait(event(about, one, now))

    async def run(self) -> None:
        """Send what is told until cancelled."""
        while True:
            one = await self._waiting.get()
            while self._is_busy():  # noqa: ASYNC110 - nobody tells of the end
                await asyncio.sleep(_PAUSE)
            try:
                await self._send(one)
            except ApiError as error:
                log.debug("event lost", about=one["involvedObject"]["name"], error=str(error))


def event(about: About, one: News, now: float) -> dict[str, Any]:
    """Return an Event. Those about objects without a namespace are kept in ``default``."""
    namespace = about.namespace or "default"
    stamp = rfc3339(now)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{about.name}.{time.time_ns():x}", "namespace": namespace},
        "involvedObject": {
            "apiVersion": about.api_version,
            "kind": about.kind,
            **({"namespace": about.namespace} if about.namespace else {}),
            "name": about.name,
            "uid": about.uid,
        },
        "type": one.type,
        "reason": one.reason,
        "message": one.message[:_LONGEST],
        "source": {"component": _SOURCE},
        "reportingComponent": _SOURCE,
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }

"""Events: each change of a condition, where ``kubectl describe`` shows it.

``news`` decides which changes are worth one. Events are sent beside the work and never delay or fail it: they
are dropped when the apiserver does not accept them, when an equal event was emitted lately, and, as in
client-go's recorder, when one object has too many. While Karmada is busy they wait.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import structlog

from towpath.controller.news import News, Notice, Subject
from towpath.controller.token_bucket import TokenBucket
from towpath.errors import ApiError
from towpath.model.times import rfc3339

log = structlog.get_logger()
DEDUP_WINDOW_SECONDS = 600.0
"""The time within which an equal event of the same object is not emitted again."""
BURST_EVENTS, REFILL_SECONDS = 25, 300.0
"""Events that an object may have at once, and the time after which it may have one more."""
_MAX_PENDING = 1000
"""Events that wait to be sent, and objects that are remembered."""
_MAX_MESSAGE_CHARACTERS = 1024
_BUSY_CHECK_SECONDS = 1.0
"""How often to check whether Karmada is still busy."""
_COMPONENT = "towpath"


class Events:
    """The events that wait to be sent. ``run`` passes each to ``send`` while not ``is_busy``."""

    def __init__(
        self, send: Callable[[dict[str, Any]], Awaitable[None]], is_busy: Callable[[], bool]
    ) -> None:
        self._send, self._is_busy = send, is_busy
        self._waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_MAX_PENDING)
        self._emitted: OrderedDict[tuple[Subject, News], float] = OrderedDict()
        self._allowed: OrderedDict[Subject, TokenBucket] = OrderedDict()
        self._number = itertools.count()

    def emit(self, news: Iterable[Notice], now: float) -> None:
        """Have events sent, unless an object has enough of them. ``now`` is in seconds since 1970."""
        for subject, item in news:
            self._emit(subject, item, now)

    def _emit(self, subject: Subject, news: News, now: float) -> None:
        last = self._emitted.get((subject, news))
        if (last is not None and now - last < DEDUP_WINDOW_SECONDS) or self._waiting.full():
            return
        bucket = self._allowed.setdefault(subject, TokenBucket(1 / REFILL_SECONDS, BURST_EVENTS))
        if not bucket.take(now):
            return
        self._emitted[subject, news] = now
        self._emitted.move_to_end((subject, news))
        for kept in (self._emitted, self._allowed):
            if len(kept) > _MAX_PENDING:
                kept.popitem(last=False)
        self._waiting.put_nowait(event(subject, news, now, next(self._number)))

    async def run(self) -> None:
        """Send events until cancelled."""
        while True:
            next_event = await self._waiting.get()
            while self._is_busy():  # noqa: ASYNC110 - nothing announces the end
                await asyncio.sleep(_BUSY_CHECK_SECONDS)
            try:
                await self._send(next_event)
            except ApiError as error:
                log.debug("event dropped", subject=next_event["involvedObject"]["name"], error=str(error))


def event(subject: Subject, news: News, now: float, number: int = 0) -> dict[str, Any]:
    """Return an Event. Events about cluster-scoped objects are kept in ``default``.

    ``number`` tells apart the events of one moment.
    """
    namespace = subject.namespace or "default"
    stamp = rfc3339(now)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{subject.name}.{int(now * 1e9) + number:x}", "namespace": namespace},
        "involvedObject": {
            "apiVersion": subject.api_version,
            "kind": subject.kind,
            **({"namespace": subject.namespace} if subject.namespace else {}),
            "name": subject.name,
            "uid": subject.uid,
        },
        "type": news.type,
        "reason": news.reason,
        "message": news.message[:_MAX_MESSAGE_CHARACTERS],
        "source": {"component": _COMPONENT},
        "reportingComponent": _COMPONENT,
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }

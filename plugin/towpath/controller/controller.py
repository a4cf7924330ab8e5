"""Running the controller: reflectors fill the inventory, changes make services due, workers reconcile them.

Nothing is written before every kind has been listed once: from half a world half of the endpoints would be
derived. With a leadership only the workers of the leader run; a standby process reads all the same, so that
its inventory is complete when it takes over.

The clock is read here, once for each pass.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Container, Iterator, Mapping
from functools import partial

import structlog

from towpath.controller.metrics import Cause, ClusterState, ConditionLabels, Metrics, Outcome, RestartLabels
from towpath.controller.reconciler import Reconciler
from towpath.controller.service_export import ServiceExports
from towpath.controller.workqueue import Queue
from towpath.errors import ApiError, Gone, NotFound, Unreachable
from towpath.inventory.inventory import Due, Inventory
from towpath.karmada.client import Client
from towpath.karmada.leading import Leading
from towpath.model.cluster import Member
from towpath.model.condition import Condition
from towpath.model.keys import ServiceKey
from towpath.serving import gc_tuning

log = structlog.get_logger()
WORKERS = 8
"""Services that are reconciled at the same time. Writes of one service follow one another in any case."""


class Controller:
    """One run of the controller. ``inventory`` may be read beside it, once it is synced."""

    def __init__(self, client: Client, metrics: Metrics, leadership: Leading | None = None) -> None:
        self._queue: Queue[Due] = Queue()
        self._metrics = metrics
        self._leadership = leadership
        self._denials = client.denials
        self._exports = ServiceExports()
        self.inventory = Inventory(client, self._queue.add, self._member_returned)
        self._reconciler = Reconciler(client, self.inventory, self._exports, metrics, self._leads)
        for reflector in self.inventory.watched.reflectors:
            reflector.interrupted = partial(self._interrupted, reflector.resource.kind)
        self._expose(metrics)

    @property
    def withheld(self) -> Mapping[ServiceKey, str]:
        """The services whose import the deletion guard keeps, each with the namespace that is the cause."""
        return self._exports.withheld

    @property
    def early(self) -> Container[ServiceKey]:
        """The services of which it was too early to report anything, as of the last pass of each."""
        return self._exports.early

    def pending_since(self, key: ServiceKey) -> float | None:
        """Return since when members lag with a service (seconds since 1970), None if none does."""
        return self._exports.pending_since(key)

    def synced(self) -> Mapping[str, bool]:
        """Return for each kind whether it has been listed."""
        reflectors = self.inventory.watched.reflectors
        return {str(reflector.resource): reflector.synced.is_set() for reflector in reflectors}

    async def run(self) -> None:
        """Reconcile until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for reflector in self.inventory.watched.reflectors:
                tasks.create_task(reflector.run())
            await self.inventory.synced()
            tasks.create_task(self.inventory.members.resolver.run())
            gc_tuning.keep()
            world = self.inventory.world
            log.info("caches synced", services=len(world.services), members=sorted(world.fleet.members))
            tasks.create_task(self._leadership.lead(self._write) if self._leadership else self._write())

    def _leads(self) -> bool:
        return self._leadership is None or self._leadership.is_leader

    async def _write(self) -> None:
        self._queue.put_behind()  # most of it is as it should be: what changes now does not wait for it
        began, due = time.monotonic(), len(self._queue)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._reconciler.events.run())
            for _ in range(WORKERS):
                tasks.create_task(self._work())
            await self._queue.replayed()
            gc_tuning.keep()
            seconds = round(time.monotonic() - began, 3)
            log.info("initial sync complete", services=due, seconds=seconds)

    async def _work(self) -> None:
        queue = self._queue
        while True:
            key = await queue.get()
            now, began = time.time(), time.monotonic()
            try:
                look_again = await self._reconciler.reconcile(key, now, idle=not len(queue))
            except ApiError as error:
                outcome = Outcome.FAILED
                pause = queue.failed(key)
                if not self._denials.note(error):
                    log.warning("reconcile failed", due=str(key), error=str(error), retry_seconds=pause)
            except asyncio.CancelledError:
                queue.done(key)
                queue.add(key)  # the next leader, perhaps this process, reconciles it
                raise
            else:
                outcome = Outcome.DONE
                queue.done(key)
                if look_again < math.inf:
                    elapsed = time.monotonic() - began
                    queue.add_later(key, max(0.0, look_again - now - elapsed))
            self._metrics.reconciles[outcome].observe(time.monotonic() - began)

    def _member_returned(self) -> None:
        """A lost member is reachable again: reconcile what waits for it."""
        for key in self._exports.lagging:
            self._queue.add(key)

    def _interrupted(self, kind: str, error: ApiError) -> None:
        self._metrics.watch_restarts[RestartLabels(kind, _cause(error))].inc()

    def _conditions(self) -> Iterator[Condition]:
        """Yield the conditions of all exports; Ready is that of the last pass."""
        for derived in self.inventory.world.known:
            yield from derived.conditions
        yield from self._exports.ready.values()

    def _expose(self, metrics: Metrics) -> None:
        """Register the values that are read at each scrape. A service that is due counts as last derived."""
        world, exports = self.inventory.world, self._exports
        metrics.queue_depth.set_function(lambda: len(self._queue))
        metrics.queue_oldest.set_function(lambda: self._queue.oldest)
        metrics.leader.set_function(self._leads)
        metrics.clusters.read_from(lambda: Counter(map(_state, world.fleet.members.values())))
        metrics.services_behind.read_from(lambda: exports.behind)
        metrics.guard_counted.read_from(lambda: exports.withdrawing(time.time()))
        metrics.exports.read_from(
            lambda: Counter(ConditionLabels(c.type, c.status) for c in self._conditions())
        )
        metrics.left_out.read_from(
            lambda: Counter(why.reason.value for d in world.known for why in d.excluded.values())
        )


def _cause(error: ApiError) -> Cause:
    match error:
        case Gone():
            return Cause.TOO_OLD
        case NotFound():
            return Cause.NOT_SERVED
        case Unreachable():
            return Cause.UNREACHABLE
    return Cause.REFUSED


def _state(member: Member) -> ClusterState:
    if member.drained:
        return ClusterState.DRAINED
    return ClusterState.READY if member.unreachable_since is None else ClusterState.LOST

"""Running the controller: reflectors fill the inventory, touched services are due, workers reconcile them.

Nothing is written before everything has been listed once: half a world would derive half the endpoints.
With a leadership only the leader's workers run; a process that stands by reads all the same, so that its
world is warm when its turn comes.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Container, Mapping
from functools import partial

import structlog

from towpath.controller.metrics import Cause, ClusterState, ConditionLabels, Metrics, Outcome, RestartLabels
from towpath.controller.service_export import Reconciler
from towpath.controller.workqueue import Queue
from towpath.errors import ApiError, Gone, NotFound, Unreachable
from towpath.inventory.inventory import Due, Inventory
from towpath.karmada.client import Client
from towpath.karmada.leader import Leadership
from towpath.model.cluster import Member
from towpath.model.keys import ServiceKey
from towpath.serving import gc_tuning

log = structlog.get_logger()
WORKERS = 8
"""Services written at the same time. Writes of one service follow one another in any case."""


class Controller:
    """One run of the controller. ``inventory`` is there to be read beside it, once it is synced."""

    def __init__(self, client: Client, metrics: Metrics, leadership: Leadership | None = None) -> None:
        self._queue: Queue[Due] = Queue()
        self._metrics = metrics
        self._leadership = leadership
        self.inventory = Inventory(client, self._queue.add, self._returned)
        self._reconciler = Reconciler(
            client, self.inventory, metrics, is_idle=lambda: not len(self._queue), may_write=self._leads
        )
        for reflector in self.inventory.reflectors:
            reflector.interrupted = partial(self._interrupted, reflector.resource.kind)
        metrics.before_scrape(self._refresh)

    @property
    def withheld(self) -> Container[ServiceKey]:
        """The services whose import may not go now."""
        return self._reconciler.withheld

    def synced(self) -> Mapping[str, bool]:
        """Return for each kind whether it has been listed."""
        return {str(reflector.resource): reflector.synced.is_set() for reflector in self.inventory.reflectors}

    async def run(self) -> None:
        """Keep everything derived until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for reflector in self.inventory.reflectors:
                tasks.create_task(reflector.run())
            await self.inventory.synced()
            tasks.create_task(self.inventory.members.lookup.run())
            gc_tuning.keep()
            world = self.inventory.world
            log.info("in sync", services=len(world.services), members=sorted(world.fleet.members))
            tasks.create_task(self._leadership.lead(self._write) if self._leadership else self._write())

    def _leads(self) -> bool:
        return self._leadership is None or self._leadership.is_leader

    async def _write(self) -> None:
        self._queue.put_behind()  # most of it is as it should be: what changes now need not wait for that
        began, due = time.monotonic(), len(self._queue)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._reconciler.events.run())
            for _ in range(WORKERS):
                tasks.create_task(self._work())
            await self._queue.caught_up()
            gc_tuning.keep()
            log.info("caught up", services=due, seconds=round(time.monotonic() - began, 3))

    async def _work(self) -> None:
        queue = self._queue
        while True:
            key = await queue.get()
            began = time.monotonic()
            try:
                look_again = await self._reconciler.reconcile(key)
            except ApiError as error:
                outcome = Outcome.FAILED
                pause = queue.failed(key)
                log.warning("will try again", due=str(key), error=str(error), pause=pause)
            except asyncio.CancelledError:
                queue.done(key)
                queue.add(key)  # who leads next, perhaps this process, takes it up again
                raise
            else:
                outcome = Outcome.DONE
                queue.done(key)
                if look_again is not None and look_again < math.inf:
                    queue.add_later(key, max(0.0, look_again - time.time()))
            self._metrics.reconciles[outcome].observe(time.monotonic() - began)

    def _returned(self) -> None:
        """A member is reached again: look at what waited for it."""
        for key in self._reconciler.arriving.convergence.lagging:
            self._queue.add(key)

    def _interrupted(self, kind: str, error: ApiError) -> None:
        self._metrics.watch_restarts[RestartLabels(kind, _cause(error))].inc()

    def _refresh(self) -> None:
        """Set what is only true at a moment. What is due counts again when it has been derived."""
        metrics, world = self._metrics, self.inventory.world
        metrics.queue_depth.set(len(self._queue))
        metrics.queue_oldest.set(self._queue.oldest)
        metrics.leader.set(self._leads())
        metrics.clusters.replace(Counter(map(_state, world.fleet.members.values())))
        metrics.services_behind.replace(self._reconciler.arriving.convergence.behind)
        known = world.known
        metrics.exports.replace(
            Counter(ConditionLabels(c.type, c.status) for d in known for c in d.conditions)
        )
        metrics.left_out.replace(Counter(one.reason.value for d in known for one in d.excluded.values()))


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

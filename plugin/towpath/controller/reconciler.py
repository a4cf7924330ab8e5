"""One pass over what is due: take a snapshot, decide, act.

The deciders are pure; this module and ``writer`` are the only ones that act on what they decide. A pass that
fails raises ApiError and is repeated with a new snapshot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from towpath.controller import flomesh_cluster
from towpath.controller.decision import Adopt, Collect, Decision, PatchStatus, Step, Touch
from towpath.controller.deletionguard.act import collect
from towpath.controller.events import Events
from towpath.controller.metrics import Metrics
from towpath.controller.news import Notice, news_of
from towpath.controller.orphanbinding.act import adopt
from towpath.controller.service_export import ServiceExports
from towpath.controller.writer import Writer
from towpath.derivation.stages import Write
from towpath.inventory.inventory import Due, Inventory
from towpath.inventory.take import take
from towpath.karmada.client import Client
from towpath.model.keys import GatewayKey

log = structlog.get_logger()


class Reconciler:
    """Carries out what ``exports`` and the other deciders decide. Passes over several services may
    overlap."""

    def __init__(
        self,
        client: Client,
        inventory: Inventory,
        exports: ServiceExports,
        metrics: Metrics,
        may_write: Callable[[], bool],
    ) -> None:
        self._inventory, self._exports, self._metrics = inventory, exports, metrics
        self._writer = Writer(client, inventory.watched.written(), metrics, may_write)
        self.events = Events(self._writer.send_event, lambda: exports.load.is_busy)

    async def reconcile(self, due: Due, now: float, *, idle: bool) -> float:
        """Bring what is due to what it should be at ``now``. Raises ApiError: try again later.

        ``idle``: nothing else is due. Returns when it is due again although nothing has happened (seconds
        since 1970), infinity if never.
        """
        decision = self._decide(due, now, idle)
        if decision.took_up and not isinstance(due, GatewayKey):
            self._inventory.changed_at.pop(due, None)
        if decision.relist:
            self._inventory.watched.relist()
        self._report(decision)
        news = [*decision.news]
        try:
            for stage in decision.ordered:
                if decision.waits_for_record(stage, may_record_later=self._may_record_later(due)):
                    return now
                await asyncio.gather(*(self._act(step, now, news) for step in stage))
            for step in decision.steps:
                await self._act(step, now, news)
        finally:
            self.events.emit(news, now)
        return decision.look_again

    def _decide(self, due: Due, now: float, idle: bool) -> Decision:
        inventory = self._inventory
        if isinstance(due, GatewayKey):
            stored = inventory.watched.flomesh_clusters[due.dialect].get(due.name)
            return flomesh_cluster.decide(due, stored, inventory.world.fleet.members.get(due.name), now)
        return self._exports.decide(take(inventory, due, now, idle=idle))

    def _may_record_later(self, due: Due) -> bool:
        return isinstance(due, GatewayKey) or self._inventory.world.may_record_later(due)

    def _report(self, decision: Decision) -> None:
        """Log and count what there is to report, and forget what no longer exists."""
        for note in decision.notes:
            getattr(log, note.level)(note.event, **note.fields)
        for refusal in decision.refusals:
            self._metrics.guard_refusals[refusal].inc()
        for latency in decision.latencies:
            metric = self._metrics.withdrawal if latency.withdrawal else self._metrics.export_to_member
            metric.observe(latency.seconds)
        for resource, name in decision.forgotten:
            self._writer.forget(resource, name)

    async def _act(self, step: Step, now: float, news: list[Notice]) -> None:
        """Take one step, and add what is to be told about it to ``news``."""
        match step:
            case Write():
                await self._writer.write(step)
            case Touch():
                await self._writer.touch(step.resource, step.name, now, unclaim=step.unclaim)
                log.warning("touched", template=f"{step.resource} {'/'.join(step.name)}", reason=step.why)
            case Adopt():
                await adopt(self._writer, step.template, now)
            case Collect():
                if not await collect(self._writer, step):
                    self._inventory.watched.relist()
            case PatchStatus():
                change = await self._writer.patch_status(step)
                if change is not None and step.subject is not None:
                    news += [(step.subject, item) for item in news_of(change.before, change.after)]

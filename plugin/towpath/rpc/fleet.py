"""The stream of the whole cluster set: everything once, then what changes, at a bounded cost.

A change only marks what it touches as due. What is due is explained in batches, and a service is sent if its
revision is another than the one that was sent. Between batches the stream rests nine times as long as a batch
took, so that no storm of changes lets a watcher take more than a tenth of a core from the controller.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Set

from towpath.derivation.chain import LinkState
from towpath.inventory.inventory import Due, Inventory
from towpath.model.keys import ServiceKey
from towpath.proto.v1alpha1 import inventory_pb2 as pb
from towpath.proto.v1alpha1.service_pb2 import Cluster
from towpath.review.explanation import Explainer
from towpath.review.lookup import in_order
from towpath.rpc import convert
from towpath.rpc.traffic import SentTraffic
from towpath.traffic.meter import Meter

BATCH_SIZE = 20
"""Services that are explained before the event loop runs other tasks."""
CLOSE_SECONDS = 0.2
"""Changes that follow each other within this time are sent as one."""
ALIVE_SECONDS = 15.0
"""A client hears of the plugin at least this often."""
_UNSETTLED_SECONDS = 60.0
"""How often a service that is pending or broken is looked at without an event. A lost member can leave every
service so for days, and whatever the controller learns it also writes, which is an event."""
_REST = 9.0
_SETTLED = {LinkState.OK, LinkState.LEFT_OUT}


class FleetWatch:
    """The cluster set as one client knows it, and what is due to be looked at."""

    def __init__(self, inventory: Inventory, explainer: Explainer, meter: Meter) -> None:
        self._inventory, self._world, self._explainer = inventory, inventory.world, explainer
        self._meter, self._traffic = meter, SentTraffic(meter)
        self._due: dict[ServiceKey, None] = dict.fromkeys(in_order(inventory.world))
        self._revisions: dict[ServiceKey, int] = {}
        self._look_again: dict[ServiceKey, float] = {}
        self._clusters: dict[str, Cluster] = {}
        self._is_fleet_due = self._is_traffic_due = True
        self._changed = asyncio.Event()
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """End the responses."""
        self._stopped.set()
        self._changed.set()

    async def responses(self) -> AsyncGenerator[pb.WatchFleetResponse, None]:
        """Yield everything, then what changes, until it is stopped."""
        self._inventory.listeners.append(self._on_touch)
        self._world.listeners.append(self._on_change)
        try:
            with self._meter.watching(self._on_traffic):
                is_complete = False
                while not self._stopped.is_set():
                    began = time.thread_time()
                    response = self._batch(time.time())
                    is_complete = response.complete = is_complete or not (self._due or self._traffic.is_due)
                    spent = time.thread_time() - began
                    if response.ByteSize() > _EMPTY_BYTES or is_complete:
                        yield response
                    await asyncio.sleep(spent * _REST if is_complete else 0)
                    while is_complete and not self._stopped.is_set() and not await self._is_something_due():
                        yield pb.WatchFleetResponse(complete=True)
        finally:
            self._inventory.listeners.remove(self._on_touch)
            self._world.listeners.remove(self._on_change)

    def _batch(self, now: float) -> pb.WatchFleetResponse:
        """Return what differs of the members, and of some of the services and pairs that are due."""
        response = pb.WatchFleetResponse()
        if self._is_fleet_due:
            self._is_fleet_due = False
            self._put_clusters(response)
        if self._is_traffic_due:
            self._is_traffic_due = False
            self._traffic.look(self._clusters)
        self._traffic.put(response)
        for key in list(self._due)[:BATCH_SIZE]:
            del self._due[key]
            self._put_service(response, key, now)
        return response

    def _put_clusters(self, response: pb.WatchFleetResponse) -> None:
        members = self._world.fleet.members
        clusters = {c.name: c for c in convert.clusters(members, self._explainer.gateway_sources())}
        response.clusters.extend(c for name, c in clusters.items() if c != self._clusters.get(name))
        response.gone_clusters.extend(sorted(self._clusters.keys() - clusters.keys()))
        self._is_traffic_due |= self._clusters.keys() != clusters.keys()
        self._clusters = clusters

    def _put_service(self, response: pb.WatchFleetResponse, key: ServiceKey, now: float) -> None:
        found = self._explainer.explain(key, now)
        if found is None:
            self._look_again.pop(key, None)
            if self._revisions.pop(key, None) is not None:
                gone = pb.ServiceName(namespace=key.namespace, name=key.name, dialect=key.dialect)
                response.gone_services.append(gone)
            return
        service = convert.fleet_service(found[0])
        if service.revision != self._revisions.get(key):
            response.services.append(service)
        self._revisions[key] = service.revision
        is_settled = service.summary.state in _SETTLED
        self._look_again[key] = found[1] if is_settled else min(found[1], now + _UNSETTLED_SECONDS)

    async def _is_something_due(self) -> bool:
        """Wait until something is due, or until the client has to hear of the plugin."""
        if not self._due and not self._is_fleet_due and not self._traffic.is_due:
            self._changed.clear()
            patience = min(self._look_again.values(), default=math.inf) - time.time()
            try:
                async with asyncio.timeout(max(0.0, min(patience, ALIVE_SECONDS))):
                    await self._changed.wait()
            except TimeoutError:
                now = time.time()
                self._due.update((key, None) for key, at in self._look_again.items() if at <= now)
                return bool(self._due)
            await asyncio.sleep(CLOSE_SECONDS)
        return True

    def _on_touch(self, due: Due) -> None:
        if isinstance(due, ServiceKey):
            self._due[due] = None
            self._changed.set()

    def _on_traffic(self) -> None:
        self._is_traffic_due = True
        self._changed.set()

    def _on_change(self, touched: Set[ServiceKey]) -> None:
        self._due.update(dict.fromkeys(touched))
        self._is_fleet_due = True
        self._changed.set()


_EMPTY_BYTES = pb.WatchFleetResponse(complete=True).ByteSize()

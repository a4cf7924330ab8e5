"""The servicer of ``Inventory``: members, exported services, and their changes."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from grpc.aio import ServicerContext

from towpath.derivation.explanation import ImportState
from towpath.inventory.inventory import Inventory
from towpath.model.keys import ServiceKey
from towpath.proto.v1alpha1 import inventory_pb2 as pb
from towpath.proto.v1alpha1 import inventory_pb2_grpc
from towpath.proto.v1alpha1.service_pb2 import Explanation
from towpath.review.explanation import Explainer
from towpath.review.lookup import in_order
from towpath.rpc import convert
from towpath.rpc.errors import not_found, not_in_sync, stopping
from towpath.rpc.fleet import BATCH_SIZE, FleetWatch
from towpath.rpc.service_lookup import service_key
from towpath.rpc.watching import Watches
from towpath.traffic.meter import Meter

EXPORT_GONE = "EXPORT_GONE"
_ROLLOUT_SECONDS = 1.0
"""How often a followed service is looked at while an import is not in place: reports of members change no
derivation, so nothing else tells of them."""


class InventoryServicer(inventory_pb2_grpc.InventoryServicer):
    """Answers from a world. Every call fails until that is ``in_sync``."""

    def __init__(
        self, inventory: Inventory, explainer: Explainer, meter: Meter, in_sync: Callable[[], bool]
    ) -> None:
        self._inventory = inventory
        self._meter = meter
        self._world = inventory.world
        self._explainer = explainer
        self._in_sync = in_sync
        self._watches = Watches(inventory.world)
        self._fleet_watches: set[FleetWatch] = set()

    def stop(self) -> None:
        """End every stream."""
        self._watches.stop()
        for watch in self._fleet_watches:
            watch.stop()

    async def ListClusters(  # noqa: N802 - named by the contract
        self,
        request: pb.ListClustersRequest,
        context: ServicerContext[pb.ListClustersRequest, Awaitable[pb.ListClustersResponse]],
    ) -> pb.ListClustersResponse:
        """Return the members."""
        self._check()
        members = self._world.fleet.members
        return pb.ListClustersResponse(clusters=convert.clusters(members, self._explainer.gateway_sources()))

    async def ListServices(  # noqa: N802 - named by the contract
        self,
        request: pb.ListServicesRequest,
        context: ServicerContext[pb.ListServicesRequest, Awaitable[pb.ListServicesResponse]],
    ) -> pb.ListServicesResponse:
        """Return a summary of each service."""
        self._check()
        world, now = self._world, time.time()
        answer = pb.ListServicesResponse()
        for number, key in enumerate(in_order(world, request.namespace), 1):
            standing = self._explainer.standing(key, now)
            if standing is not None:
                answer.services.append(convert.summary(standing))
            if not number % BATCH_SIZE:
                await asyncio.sleep(0)
        return answer

    async def WatchService(  # noqa: N802 - named by the contract
        self,
        request: pb.WatchServiceRequest,
        context: ServicerContext[pb.WatchServiceRequest, AsyncIterator[pb.WatchServiceResponse]],
    ) -> AsyncIterator[pb.WatchServiceResponse]:
        """Send the explanation of a service now and after every change of it."""
        self._check()
        key = service_key(self._world, request.namespace, request.name, request.dialect)
        last_sent: Explanation | None = None
        with self._watches.watching(key) as changed:
            while not self._watches.is_stopped:
                changed.clear()
                explanation, look_again = self._explain(key)
                if explanation != last_sent:
                    last_sent = explanation
                    yield pb.WatchServiceResponse(explanation=explanation)
                try:
                    async with asyncio.timeout_at(_loop_time(look_again)):
                        await changed.wait()
                except TimeoutError:
                    pass  # a grace period may have ended
        raise stopping()

    async def WatchFleet(  # noqa: N802 - named by the contract
        self,
        request: pb.WatchFleetRequest,
        context: ServicerContext[pb.WatchFleetRequest, AsyncIterator[pb.WatchFleetResponse]],
    ) -> AsyncIterator[pb.WatchFleetResponse]:
        """Send the whole cluster set, and what changes of it."""
        self._check()
        if self._watches.is_stopped:
            raise stopping()
        watch = FleetWatch(self._inventory, self._explainer, self._meter)
        self._fleet_watches.add(watch)
        try:
            async for response in watch.responses():
                yield response
        finally:
            self._fleet_watches.discard(watch)
        raise stopping()

    def _explain(self, key: ServiceKey) -> tuple[Explanation, float]:
        """Return the explanation, and the time at which it may change by itself.

        Raises StatusError if the export is gone.
        """
        now = time.time()
        found = self._explainer.explain(key, now)
        if found is None:
            raise not_found(EXPORT_GONE, f"ServiceExport {key.namespace}/{key.name} has been deleted.")
        explained, look_again = found
        if any(importer.state != ImportState.IN_PLACE for importer in explained.importers):
            look_again = min(look_again, now + _ROLLOUT_SECONDS)
        return convert.explanation(explained), look_again

    def _check(self) -> None:
        if not self._in_sync():
            raise not_in_sync()


def _loop_time(unix_time: float) -> float | None:
    """Return a Unix time on the clock of the event loop, None for never."""
    return (
        None
        if unix_time == math.inf
        else asyncio.get_running_loop().time() + max(unix_time - time.time(), 0.0)
    )

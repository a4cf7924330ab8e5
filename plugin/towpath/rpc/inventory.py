"""Answering the service ``Inventory``: what there is, and how it changes."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from grpc.aio import ServicerContext

from towpath.derivation.explanation import explain
from towpath.derivation.index import Incremental
from towpath.model.keys import ServiceKey
from towpath.proto.v1alpha1 import inventory_pb2 as pb
from towpath.proto.v1alpha1 import inventory_pb2_grpc
from towpath.proto.v1alpha1.service_pb2 import Explanation
from towpath.rpc import convert
from towpath.rpc.errors import not_found, not_in_sync, stopping
from towpath.rpc.service_lookup import service_key
from towpath.rpc.watching import Watches

EXPORT_GONE = "EXPORT_GONE"
_AT_ONCE = 20
"""Services that are derived before others get a turn."""


class InventoryServicer(inventory_pb2_grpc.InventoryServicer):
    """The service over a world. Refuses while that is not ``in_sync``."""

    def __init__(self, world: Incremental, in_sync: Callable[[], bool]) -> None:
        self._world = world
        self._in_sync = in_sync
        self._watches = Watches(world)

    def stop(self) -> None:
        """End every stream."""
        self._watches.stop()

    async def ListClusters(  # noqa: N802 - named by the contract
        self,
        request: pb.ListClustersRequest,
        context: ServicerContext[pb.ListClustersRequest, Awaitable[pb.ListClustersResponse]],
    ) -> pb.ListClustersResponse:
        """Answer with the members."""
        self._check()
        return pb.ListClustersResponse(clusters=convert.clusters(self._world.fleet.members))

    async def ListServices(  # noqa: N802 - named by the contract
        self,
        request: pb.ListServicesRequest,
        context: ServicerContext[pb.ListServicesRequest, Awaitable[pb.ListServicesResponse]],
    ) -> pb.ListServicesResponse:
        """Answer with the services, each in short."""
        self._check()
        world, now = self._world, time.time()
        keys = [key for key in world.services if request.namespace in {"", key.namespace}]
        answer = pb.ListServicesResponse()
        for number, key in enumerate(sorted(keys, key=lambda key: (key.namespace, key.name, key.dialect)), 1):
            service, derived = world.services.get(key), world.derived(key, now)
            if service is not None and derived is not None:
                answer.services.append(convert.summary(service, derived))
            if not number % _AT_ONCE:
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
        told: Explanation | None = None
        with self._watches.following(key) as woken:
            while not self._watches.stopped:
                woken.clear()
                explanation, look_again = self._explained(key)
                if explanation != told:
                    told = explanation
                    yield pb.WatchServiceResponse(explanation=explanation)
                try:
                    async with asyncio.timeout_at(_loop_time(look_again)):
                        await woken.wait()
                except TimeoutError:
                    pass  # the passing of time alone may have changed it
        raise stopping()

    def _explained(self, key: ServiceKey) -> tuple[Explanation, float]:
        """Return the explanation, and when time alone may change it. Raises Refused if the export is gone."""
        world = self._world
        service, derived = world.services.get(key), world.derived(key, time.time())
        if service is None or derived is None:
            raise not_found(EXPORT_GONE, f"the ServiceExport {key.namespace}/{key.name} has been deleted")
        return convert.explanation(explain(service, derived, world.fleet)), derived.look_again

    def _check(self) -> None:
        if not self._in_sync():
            raise not_in_sync()


def _loop_time(when: float) -> float | None:
    """Return a time since 1970 by the loop's clock, None for never."""
    return None if when == math.inf else asyncio.get_running_loop().time() + max(when - time.time(), 0.0)

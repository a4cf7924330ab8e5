"""Answering the calls: what the inventory holds, derived by the rules that the controller writes by."""

from __future__ import annotations

import difflib
import time
from collections.abc import Awaitable, Sequence

import grpc
from grpc.aio import ServicerContext

from towpath.incremental import Incremental
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.world import ExportedService
from towpath.proto.v1alpha1 import inventory_pb2, inventory_pb2_grpc, planner_pb2_grpc
from towpath.proto.v1alpha1 import planner_pb2 as pb
from towpath.rpc import convert

NOT_IN_SYNC = "the plugin has not yet read everything from Karmada: try again"
_SIMILAR = 0.8
"""From here on two names are alike: high, because they often share their namespace."""


class InventoryServicer(inventory_pb2_grpc.InventoryServicer):
    """The service ``Inventory`` over a world. Refuses with UNAVAILABLE until ``in_sync`` is set."""

    def __init__(self, world: Incremental) -> None:
        self._world = world
        self.in_sync = False

    async def ListClusters(  # noqa: N802 - named by the contract
        self,
        request: inventory_pb2.ListClustersRequest,
        context: ServicerContext[
            inventory_pb2.ListClustersRequest, Awaitable[inventory_pb2.ListClustersResponse]
        ],
    ) -> inventory_pb2.ListClustersResponse:
        """Answer with the inventory."""
        if not self.in_sync:
            await context.abort(grpc.StatusCode.UNAVAILABLE, NOT_IN_SYNC)
        return inventory_pb2.ListClustersResponse(clusters=convert.clusters(self._world.fleet.members))


class PlannerServicer(planner_pb2_grpc.PlannerServicer):
    """The service ``Planner`` over a world. Refuses with UNAVAILABLE until ``in_sync`` is set."""

    def __init__(self, world: Incremental) -> None:
        self._world = world
        self.in_sync = False

    async def Explain(  # noqa: N802 - named by the contract
        self,
        request: pb.ExplainRequest,
        context: ServicerContext[pb.ExplainRequest, Awaitable[pb.ExplainResponse]],
    ) -> pb.ExplainResponse:
        """Derive one service and answer with all of it."""
        wrong = _what_is_wrong(request)
        if wrong:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, wrong)
        if not self.in_sync:
            await context.abort(grpc.StatusCode.UNAVAILABLE, NOT_IN_SYNC)
        service = self._oldest(request)
        derived = self._world.derived(service.key, time.time()) if service else None
        if service is None or derived is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, why_not_found(request, list(self._world.services)))
        return pb.ExplainResponse(explanation=convert.explanation(service, derived, self._world.fleet))

    def _oldest(self, request: pb.ExplainRequest) -> ExportedService | None:
        """Return the service that is asked for: of two dialects, when none is named, the one that counts."""
        services = (self._world.services.get(key) for key in _keys(request))
        return min((s for s in services if s is not None), key=lambda s: s.age, default=None)


def _what_is_wrong(request: pb.ExplainRequest) -> str:
    if not request.namespace or not request.name:
        return "namespace and name of the service must be given"
    if request.dialect and request.dialect not in set(Dialect):
        return f"{request.dialect!r} is no dialect: there are {' and '.join(Dialect)}"
    return ""


def _keys(request: pb.ExplainRequest) -> list[ServiceKey]:
    dialects = [Dialect(request.dialect)] if request.dialect else list(Dialect)
    return [ServiceKey(dialect, request.namespace, request.name) for dialect in dialects]


def why_not_found(request: pb.ExplainRequest, exported: Sequence[ServiceKey]) -> str:
    """Tell why there is nothing to explain, and what may have been meant."""
    wanted = f"{request.namespace}/{request.name}"
    namesakes = [key.dialect.value for key in exported if f"{key.namespace}/{key.name}" == wanted]
    if namesakes:
        return f"there is no ServiceExport {wanted} of {request.dialect}, but one of {namesakes[0]}"
    names = sorted({f"{key.namespace}/{key.name}" for key in exported})
    elsewhere = [name for name in names if name.endswith(f"/{request.name}")]
    similar = elsewhere or difflib.get_close_matches(wanted, names, n=1, cutoff=_SIMILAR)
    if similar:
        return f"there is no ServiceExport {wanted}: did you mean {similar[0]}?"
    return f"there is no ServiceExport {wanted} in Karmada; of other names there are {len(names)}"

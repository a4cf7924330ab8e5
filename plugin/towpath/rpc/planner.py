"""The servicer of ``Planner``: the derivation of an export, and the plan of manifests."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from grpc.aio import ServicerContext

from towpath.derivation.index import Incremental
from towpath.errors import ApiError
from towpath.plan.proposal import Proposal
from towpath.proto.v1alpha1 import planner_pb2 as pb
from towpath.proto.v1alpha1 import planner_pb2_grpc
from towpath.review.explanation import Explainer
from towpath.rpc import convert
from towpath.rpc.errors import StatusError, not_in_sync
from towpath.rpc.plan_process import PlanInput, PlanProcesses
from towpath.rpc.service_lookup import service_key

Live = Callable[[], Awaitable[list[dict[str, Any]]]]
"""Reads the objects of Karmada. Raises ApiError."""


class PlannerServicer(planner_pb2_grpc.PlannerServicer):
    """Answers from a world; plans read Karmada with ``live``."""

    def __init__(
        self, world: Incremental, explainer: Explainer, live: Live, in_sync: Callable[[], bool]
    ) -> None:
        self._world = world
        self._explainer = explainer
        self._live = live
        self._in_sync = in_sync
        self._plans = PlanProcesses()

    async def stop(self) -> None:
        """End the plan that is being computed."""
        await self._plans.stop()

    async def Explain(  # noqa: N802 - named by the contract
        self,
        request: pb.ExplainRequest,
        context: ServicerContext[pb.ExplainRequest, Awaitable[pb.ExplainResponse]],
    ) -> pb.ExplainResponse:
        """Return the derivation of a service."""
        self._check()
        key = service_key(self._world, request.namespace, request.name, request.dialect)
        found = self._explainer.explain(key, time.time())
        if found is None:
            raise LookupError(f"{key} is exported but not derived")
        return pb.ExplainResponse(explanation=convert.explanation(found[0]))

    async def Plan(  # noqa: N802 - named by the contract
        self,
        request: pb.PlanRequest,
        context: ServicerContext[pb.PlanRequest, Awaitable[pb.PlanResponse]],
    ) -> pb.PlanResponse:
        """Apply the manifests to the objects of Karmada in memory, and return the result."""
        self._check()

        async def read() -> PlanInput:
            known = {m.gateway_host: m.resolved for m in self._world.fleet.members.values() if m.resolved}
            return PlanInput(
                live=await self._read_live(),
                proposals=[
                    Proposal(manifest.source or f"manifests[{index}]", manifest.text)
                    for index, manifest in enumerate(request.manifests)
                ],
                namespace=request.namespace or "default",
                resolved={**known, **request.resolve},
                now=time.time(),
            )

        return await self._plans.run(read)

    async def _read_live(self) -> list[dict[str, Any]]:
        try:
            return await self._live()
        except ApiError as error:
            raise StatusError(grpc.StatusCode.UNAVAILABLE, "KARMADA_UNREACHABLE", str(error)) from None

    def _check(self) -> None:
        if not self._in_sync():
            raise not_in_sync()

"""Answering the service ``Planner``: what is made of exports, and what would be made of manifests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc
from grpc.aio import ServicerContext

from towpath.derivation.explanation import explain
from towpath.derivation.index import Incremental
from towpath.errors import ApiError, InvalidObject
from towpath.plan.propose import Proposal, Unreadable, propose
from towpath.proto.v1alpha1 import planner_pb2 as pb
from towpath.proto.v1alpha1 import planner_pb2_grpc
from towpath.rpc import convert
from towpath.rpc.errors import Refused, invalid, not_in_sync
from towpath.rpc.service_lookup import service_key

Live = Callable[[], Awaitable[list[dict[str, Any]]]]
"""Reads what Karmada holds. Raises ApiError."""


class PlannerServicer(planner_pb2_grpc.PlannerServicer):
    """The service over a world, and over a Karmada that is read for plans."""

    def __init__(self, world: Incremental, live: Live, in_sync: Callable[[], bool]) -> None:
        self._world = world
        self._live = live
        self._in_sync = in_sync
        self._alone = asyncio.Lock()

    async def Explain(  # noqa: N802 - named by the contract
        self,
        request: pb.ExplainRequest,
        context: ServicerContext[pb.ExplainRequest, Awaitable[pb.ExplainResponse]],
    ) -> pb.ExplainResponse:
        """Derive one service and answer with all of it."""
        self._check()
        world = self._world
        key = service_key(world, request.namespace, request.name, request.dialect)
        derived = world.derived(key, time.time())
        if derived is None:
            raise LookupError(f"{key} is exported and yet not derived")
        explained = explain(world.services[key], derived, world.fleet)
        return pb.ExplainResponse(explanation=convert.explanation(explained))

    async def Plan(  # noqa: N802 - named by the contract
        self,
        request: pb.PlanRequest,
        context: ServicerContext[pb.PlanRequest, Awaitable[pb.PlanResponse]],
    ) -> pb.PlanResponse:
        """Put the manifests on top of what Karmada holds, and answer with what comes of it."""
        self._check()
        proposals = [
            Proposal(one.source or f"manifests[{index}]", one.text)
            for index, one in enumerate(request.manifests)
        ]
        known = {m.gateway_host: m.resolved for m in self._world.fleet.members.values() if m.resolved}
        resolved = {**known, **request.resolve}
        # One after the other, and beside the loop: a large plan takes a second or two of computing.
        async with self._alone:
            there = await self._read()
            return await asyncio.to_thread(
                _planned, there, proposals, request.namespace or "default", resolved
            )

    async def _read(self) -> list[dict[str, Any]]:
        try:
            return await self._live()
        except ApiError as error:
            raise Refused(grpc.StatusCode.UNAVAILABLE, "KARMADA_UNREACHABLE", str(error)) from None

    def _check(self) -> None:
        if not self._in_sync():
            raise not_in_sync()


def _planned(
    there: Sequence[dict[str, Any]], proposals: Sequence[Proposal], namespace: str, resolved: dict[str, str]
) -> pb.PlanResponse:
    try:
        made, differences = propose(there, proposals, namespace=namespace, resolved=resolved, now=time.time())
    except Unreadable as error:
        raise invalid({f"manifests[{error.number}].text": str(error)}) from None
    except InvalidObject as error:
        raise invalid({"namespace": str(error)}) from None
    return convert.plan(made, differences)

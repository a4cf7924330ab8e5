"""Answering the calls: what the inventory holds, derived by the rules that the controller writes by."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol

import grpc
from grpc.aio import ServicerContext

from towpath.derive import derive_service
from towpath.model.cluster import Member
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.world import ExportedService
from towpath.proto.v1alpha1 import plugin_pb2 as pb
from towpath.proto.v1alpha1 import plugin_pb2_grpc
from towpath.rpc import convert

NOT_IN_SYNC = "the plugin has not yet read everything from Karmada: try again"
_SIMILAR = 0.8
"""From here on two names are alike: high, because they often share their namespace."""


class Source(Protocol):
    """What is asked of the controller's Inventory."""

    @property
    def members(self) -> Mapping[str, Member]:
        """Every member by name."""

    def exported(self, key: ServiceKey) -> ExportedService | None:
        """Return one service as the members see it; None if it is not exported."""

    def exported_keys(self) -> Sequence[ServiceKey]:
        """Return the name of every ServiceExport, also of those that do not count."""


class PluginServicer(plugin_pb2_grpc.PluginServicer):
    """The service ``Plugin`` over a source. Refuses with UNAVAILABLE until ``in_sync`` is set."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.in_sync = False

    async def ListMembers(  # noqa: N802 - named by the contract
        self,
        request: pb.ListMembersRequest,
        context: ServicerContext[pb.ListMembersRequest, Awaitable[pb.ListMembersResponse]],
    ) -> pb.ListMembersResponse:
        """Answer with the inventory."""
        if not self.in_sync:
            await context.abort(grpc.StatusCode.UNAVAILABLE, NOT_IN_SYNC)
        return convert.members_message(self._source.members)

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
        for key in _keys(request):
            service = self._source.exported(key)
            if service is not None:
                members = self._source.members
                return convert.explanation(key, derive_service(service, members), members)
        return await context.abort(
            grpc.StatusCode.NOT_FOUND, why_not_found(request, self._source.exported_keys())
        )


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
    if request.dialect in namesakes:
        return (
            f"the ServiceExport {wanted} of {request.dialect} does not count: an older one of another"
            " dialect has its name, and Karmada cannot tell the two apart"
        )
    if namesakes:
        return f"there is no ServiceExport {wanted} of {request.dialect}, but one of {namesakes[0]}"
    names = sorted({f"{key.namespace}/{key.name}" for key in exported})
    elsewhere = [name for name in names if name.endswith(f"/{request.name}")]
    similar = elsewhere or difflib.get_close_matches(wanted, names, n=1, cutoff=_SIMILAR)
    if similar:
        return f"there is no ServiceExport {wanted}: did you mean {similar[0]}?"
    return f"there is no ServiceExport {wanted} in Karmada; of other names there are {len(names)}"

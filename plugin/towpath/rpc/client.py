"""Asking the plugin: one function a call, each with a deadline and with errors that are one clear sentence.

An address is a gRPC target: ``unix:/path/of/the.socket``, or ``host:port`` with the certificates that the
plugin asks for there. gRPC is imported on the first call: it costs 0.1 s, and most commands never ask.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from towpath.errors import ApiError, NotFound, Unreachable, UsageError

if TYPE_CHECKING:
    import grpc.aio

    from towpath.proto.v1alpha1.inventory_pb2 import ListClustersResponse
    from towpath.proto.v1alpha1.service_pb2 import Explanation
    from towpath.rpc.credentials import Files

DEADLINE = 10.0
"""Seconds that a call may take: the plugin answers from memory."""
HEALTH_DEADLINE = 2.0
_HEALTH_CHECK = "/grpc.health.v1.Health/Check"
_OPTIONS = (
    # gRPC's limit of 4 MiB is for strangers; a service of a large fleet is larger.
    ("grpc.max_receive_message_length", -1),
    # A connection of its own for each channel: what an earlier one could not reach may be there by now.
    ("grpc.use_local_subchannel_pool", 1),
)


async def is_serving(address: str, files: Files | None = None) -> bool:
    """Tell whether a plugin answers at an address and is in sync with Karmada."""
    import grpc.aio
    from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

    async with _channel(address, files) as channel:
        check = channel.unary_unary(
            _HEALTH_CHECK,
            request_serializer=HealthCheckRequest.SerializeToString,
            response_deserializer=HealthCheckResponse.FromString,
        )
        try:
            answer = await check(HealthCheckRequest(), timeout=HEALTH_DEADLINE)
        except grpc.aio.AioRpcError:
            return False
        return answer.status == HealthCheckResponse.SERVING


async def list_clusters(address: str, files: Files | None = None) -> ListClustersResponse:
    """Return the members as the plugin sees them. Raises Unreachable."""
    from towpath.proto.v1alpha1.inventory_pb2 import ListClustersRequest
    from towpath.proto.v1alpha1.inventory_pb2_grpc import InventoryStub

    async with _plugin(address, files) as channel:
        return await InventoryStub(channel).ListClusters(ListClustersRequest(), timeout=DEADLINE)


async def explain(
    address: str, namespace: str, name: str, dialect: str = "", files: Files | None = None
) -> Explanation:
    """Return who exports a service, who does not and why, and what each cluster imports.

    ``dialect`` is an API group, or empty for whichever there is. Raises NotFound if there is no such
    ServiceExport, UsageError if the names mean nothing, Unreachable if no plugin answers.
    """
    from towpath.proto.v1alpha1.planner_pb2 import ExplainRequest
    from towpath.proto.v1alpha1.planner_pb2_grpc import PlannerStub

    request = ExplainRequest(namespace=namespace, name=name, dialect=dialect)
    async with _plugin(address, files) as channel:
        return (await PlannerStub(channel).Explain(request, timeout=DEADLINE)).explanation


@asynccontextmanager
async def _plugin(address: str, files: Files | None) -> AsyncIterator[grpc.aio.Channel]:
    """Connect; what the calls in the block fail with becomes an error of ours."""
    import grpc.aio

    async with _channel(address, files) as channel:
        try:
            yield channel
        except grpc.aio.AioRpcError as error:
            raise _told(address, error) from None


def _channel(address: str, files: Files | None) -> grpc.aio.Channel:
    """Return a channel, on a port with the certificates as they are now."""
    import grpc.aio

    if files is None:
        return grpc.aio.insecure_channel(address, options=_OPTIONS)
    from towpath.rpc.credentials import for_client

    return grpc.aio.secure_channel(address, for_client(files), options=_OPTIONS)


def _told(address: str, error: grpc.aio.AioRpcError) -> Exception:
    from grpc import StatusCode

    details = error.details() or error.code().name
    match error.code():
        case StatusCode.NOT_FOUND:
            return NotFound(details, 404)
        case StatusCode.INVALID_ARGUMENT:
            return UsageError(details)
        case StatusCode.DEADLINE_EXCEEDED:
            return Unreachable(f"the plugin at {address} did not answer within {DEADLINE:g} s")
        case StatusCode.UNAVAILABLE:
            # Of "failed to connect to all addresses; last error: UNKNOWN: ...: connect: Connection refused
            # (111)", or "... error: No such file or directory", only the end is for people.
            reason = re.split(r"(?:connect|error): ", details)[-1]
            return Unreachable(f"no answer from a plugin at {address}: {reason}")
        case code:
            return ApiError(f"the plugin at {address}: {details} ({code.name})")

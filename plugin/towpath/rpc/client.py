"""The client of the plugin: one function for each call, with a deadline, and with errors for users.

An address is a gRPC target: ``unix:/path/to/socket``, or ``host:port`` with client certificates. gRPC is
imported on the first call: the import takes 0.1 s, and most commands never call the plugin."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from towpath.errors import ApiError, NotFound, Unreachable, UsageError

if TYPE_CHECKING:
    import grpc.aio

    from towpath.proto.v1alpha1.inventory_pb2 import (
        ListClustersResponse,
        ListServicesResponse,
        WatchFleetResponse,
    )
    from towpath.proto.v1alpha1.service_pb2 import Explanation
    from towpath.rpc.credentials import Files

DEADLINE_SECONDS = 10.0
"""Deadline of a call: the plugin answers from memory."""
HEALTH_DEADLINE_SECONDS = 2.0
SILENCE_SECONDS = 45.0
"""A fleet's stream is heard of every 15 s, so this long nothing comes only if the connection is dead."""
_HEALTH_CHECK = "/grpc.health.v1.Health/Check"
_OPTIONS = (
    # A service of a large fleet exceeds gRPC's default limit of 4 MiB.
    ("grpc.max_receive_message_length", -1),
    # Each channel connects anew: an address that an earlier channel could not reach may be reachable by now.
    ("grpc.use_local_subchannel_pool", 1),
)


async def is_serving(address: str, files: Files | None = None) -> bool:
    """Return whether a plugin serves at an address and is in sync with Karmada."""
    import grpc.aio
    from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

    async with _channel(address, files) as channel:
        check = channel.unary_unary(
            _HEALTH_CHECK,
            request_serializer=HealthCheckRequest.SerializeToString,
            response_deserializer=HealthCheckResponse.FromString,
        )
        try:
            answer = await check(HealthCheckRequest(), timeout=HEALTH_DEADLINE_SECONDS)
        except grpc.aio.AioRpcError:
            return False
        return answer.status == HealthCheckResponse.SERVING


async def list_clusters(address: str, files: Files | None = None) -> ListClustersResponse:
    """Return the members in the inventory of the plugin. Raises Unreachable."""
    from towpath.proto.v1alpha1.inventory_pb2 import ListClustersRequest
    from towpath.proto.v1alpha1.inventory_pb2_grpc import InventoryStub

    async with _plugin(address, files) as channel:
        return await InventoryStub(channel).ListClusters(ListClustersRequest(), timeout=DEADLINE_SECONDS)


async def list_services(
    address: str, namespace: str = "", files: Files | None = None
) -> ListServicesResponse:
    """Return a summary of each exported service of a namespace, or of all. Raises Unreachable."""
    from towpath.proto.v1alpha1.inventory_pb2 import ListServicesRequest
    from towpath.proto.v1alpha1.inventory_pb2_grpc import InventoryStub

    request = ListServicesRequest(namespace=namespace)
    async with _plugin(address, files) as channel:
        return await InventoryStub(channel).ListServices(request, timeout=DEADLINE_SECONDS)


async def explain(
    address: str, namespace: str, name: str, dialect: str = "", files: Files | None = None
) -> Explanation:
    """Return the exporters of a service, the excluded clusters with reasons, and the view of each importer.

    An empty ``dialect`` finds the export of either API group. Raises NotFound if there is no such
    ServiceExport, UsageError if the request is invalid, Unreachable if no plugin serves the address."""
    from towpath.proto.v1alpha1.planner_pb2 import ExplainRequest
    from towpath.proto.v1alpha1.planner_pb2_grpc import PlannerStub

    request = ExplainRequest(namespace=namespace, name=name, dialect=dialect)
    async with _plugin(address, files) as channel:
        return (await PlannerStub(channel).Explain(request, timeout=DEADLINE_SECONDS)).explanation


async def watch_service(
    address: str, namespace: str, name: str, dialect: str = "", files: Files | None = None
) -> AsyncIterator[Explanation]:
    """Yield the explanation of a service now and after each change. Raises NotFound, Unreachable."""
    from towpath.proto.v1alpha1.inventory_pb2 import WatchServiceRequest
    from towpath.proto.v1alpha1.inventory_pb2_grpc import InventoryStub

    request = WatchServiceRequest(namespace=namespace, name=name, dialect=dialect)
    async with _plugin(address, files) as channel:
        async for answer in InventoryStub(channel).WatchService(request):
            yield answer.explanation


async def watch_fleet(address: str, files: Files | None = None) -> AsyncIterator[WatchFleetResponse]:
    """Yield the cluster set, in several parts, and then what changes of it. Raises Unreachable.

    A plugin that has not been heard of for ``SILENCE_SECONDS`` counts as unreachable.
    """
    from towpath.proto.v1alpha1.inventory_pb2 import WatchFleetRequest
    from towpath.proto.v1alpha1.inventory_pb2_grpc import InventoryStub

    async with _plugin(address, files) as channel:
        parts = aiter(InventoryStub(channel).WatchFleet(WatchFleetRequest()))
        while True:
            try:
                async with asyncio.timeout(SILENCE_SECONDS):
                    part = await anext(parts)
            except TimeoutError:
                message = f"The plugin at {address} has been silent for {SILENCE_SECONDS:g} s."
                raise Unreachable(message) from None
            yield part


@asynccontextmanager
async def _plugin(address: str, files: Files | None) -> AsyncIterator[grpc.aio.Channel]:
    """Connect. Errors of the calls in the block become errors of Towpath."""
    import grpc.aio

    async with _channel(address, files) as channel:
        try:
            yield channel
        except grpc.aio.AioRpcError as error:
            raise _error(address, error) from None


def _channel(address: str, files: Files | None) -> grpc.aio.Channel:
    """Return a channel; the certificates are read now."""
    import grpc.aio

    if files is None:
        return grpc.aio.insecure_channel(address, options=_OPTIONS)
    from towpath.rpc.credentials import for_client

    return grpc.aio.secure_channel(address, for_client(files), options=_OPTIONS)


def _error(address: str, error: grpc.aio.AioRpcError) -> Exception:
    from grpc import StatusCode

    details = error.details() or error.code().name
    match error.code():
        case StatusCode.NOT_FOUND:
            return NotFound(details, 404)
        case StatusCode.INVALID_ARGUMENT:
            return UsageError(details)
        case StatusCode.DEADLINE_EXCEEDED:
            return Unreachable(
                f"The plugin at {address} did not answer within {DEADLINE_SECONDS:g} s. Try again."
            )
        case StatusCode.UNAVAILABLE:
            # Only the end is useful of "failed to connect to all addresses; last error: UNKNOWN: ...:
            # connect: Connection refused (111)" and of "... error: No such file or directory".
            reason = re.split(r"(?:connect|error): ", details)[-1]
            return Unreachable(f"No plugin serves {address}: {reason}")
        case code:
            return ApiError(f"The plugin at {address}: {details} ({code.name})")

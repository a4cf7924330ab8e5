"""A plugin's server over a world made up, on a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import grpc
import grpc.aio
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status

from tests.support.inventories import knowing
from towpath.derivation.index import Incremental
from towpath.inventory.inventory import Inventory
from towpath.model.keys import ServiceKey
from towpath.review.explanation import NOTHING_WITHHELD
from towpath.review.status import Aggregation
from towpath.rpc.server import PluginServer, Port
from towpath.traffic.meter import Meter


def server(
    known: Inventory | Incremental,
    path: Path | None = None,
    *,
    port: Port | None = None,
    live: Sequence[dict[str, Any]] = (),
    kept: Mapping[ServiceKey, str] = NOTHING_WITHHELD,
    meter: Meter | None = None,
) -> PluginServer:
    """Return a server. ``live`` is what Karmada holds for plans, ``kept`` whose import may not go.

    ``meter`` measures the traffic.
    """
    inventory = known if isinstance(known, Inventory) else knowing(world=known)

    async def read() -> list[dict[str, Any]]:
        return [*live]

    aggregation = Aggregation(inventory, kept)
    return PluginServer(inventory, aggregation, read, meter=meter, socket=path, port=port)


@asynccontextmanager
async def serving(path: Path, known: Inventory | Incremental, **more: Any) -> AsyncIterator[grpc.aio.Channel]:
    """Serve what is known, in sync; give a channel to it."""
    async with server(known, path, **more) as made:
        made.in_sync()
        async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
            yield channel


def refusal(error: grpc.aio.AioRpcError) -> tuple[grpc.StatusCode, str, dict[str, str]]:
    """Return code, reason and wrong fields of a refused call, as other programs read them."""
    info, fields = ErrorInfo(), BadRequest()
    status = rpc_status.from_call(cast("grpc.Call", error))  # it has all that is asked of one
    assert status is not None, "an error without details"
    assert (status.message, status.code) == (error.details(), error.code().value[0])
    for detail in status.details:
        for message in (info, fields):
            assert isinstance(message, Message)
            detail.Unpack(message)
    assert info.domain == "towpath.io"
    return error.code(), info.reason, {v.field: v.description for v in fields.field_violations}

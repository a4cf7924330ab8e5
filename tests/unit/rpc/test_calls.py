"""What holds for every call: deadlines, sizes, numbers, errors that programs can read, and reflection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import grpc
import grpc.aio
import pytest
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from tests.support.inventories import clusters, exported, knowing
from tests.support.plugins import refusal, serving
from towpath.errors import ApiError
from towpath.proto.v1alpha1 import inventory_pb2, planner_pb2, reviewer_pb2
from towpath.proto.v1alpha1.inventory_pb2_grpc import InventoryStub
from towpath.proto.v1alpha1.planner_pb2_grpc import PlannerStub
from towpath.proto.v1alpha1.reviewer_pb2_grpc import ReviewerStub
from towpath.review.status import Aggregation
from towpath.rpc import interceptor
from towpath.rpc import server as module
from towpath.rpc.server import MAX_REQUEST_BYTES, SERVICES, PluginServer

pytestmark = pytest.mark.timeout(30)
KNOWN = knowing(*clusters("a", "b"), *exported("web", "a", "b"))


@asynccontextmanager
async def reading(
    path: Path, live: Callable[[], Awaitable[list[dict[str, Any]]]]
) -> AsyncIterator[PlannerStub]:
    """Serve a plugin that reads Karmada so."""
    async with PluginServer(KNOWN, Aggregation(KNOWN, {}), live, socket=path) as made:
        made.in_sync()
        async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
            yield PlannerStub(channel)


async def test_a_call_has_a_deadline_of_the_plugins_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interceptor, "CALL_SECONDS", 0.1)

    async def never() -> list[dict[str, Any]]:
        await asyncio.Event().wait()
        return []

    async with reading(tmp_path / "s", never) as planner:
        with pytest.raises(grpc.aio.AioRpcError, match=r"longer than 0\.1 s") as caught:
            await planner.Plan(planner_pb2.PlanRequest(), timeout=20)
        assert refusal(caught.value) == (grpc.StatusCode.DEADLINE_EXCEEDED, "TOO_SLOW", {})
        # Nothing is left behind that the next one would wait for.
        with pytest.raises(grpc.aio.AioRpcError, match=r"longer than 0\.1 s"):
            await planner.Plan(planner_pb2.PlanRequest(), timeout=20)


async def test_a_bug_of_towpath_is_in_the_log_and_not_in_the_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def bug() -> list[dict[str, Any]]:
        raise RuntimeError("token=s3cret")

    async with reading(tmp_path / "s", bug) as planner:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await planner.Plan(planner_pb2.PlanRequest())
        assert refusal(caught.value) == (grpc.StatusCode.INTERNAL, "BUG", {})
        assert "s3cret" not in repr(caught.value)
        explained = await planner.Explain(planner_pb2.ExplainRequest(namespace="shop", name="web"))
    assert explained.explanation.exporters
    assert "s3cret" in capsys.readouterr().out


async def test_a_karmada_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    async def refusing() -> list[dict[str, Any]]:
        raise ApiError("GET /apis: forbidden", 403)

    async with reading(tmp_path / "s", refusing) as planner:
        with pytest.raises(grpc.aio.AioRpcError, match="GET /apis: forbidden") as caught:
            await planner.Plan(planner_pb2.PlanRequest())
    assert refusal(caught.value) == (grpc.StatusCode.UNAVAILABLE, "KARMADA_UNREACHABLE", {})


async def test_a_request_has_a_largest_size(tmp_path: Path) -> None:
    async with serving(tmp_path / "s", KNOWN) as channel:
        reviewer = ReviewerStub(channel)

        def asked(size: int) -> reviewer_pb2.ReviewAdmissionRequest:
            return reviewer_pb2.ReviewAdmissionRequest(
                operation=reviewer_pb2.OPERATION_CREATE, kind="Pod", object=b"{" + b" " * size
            )

        assert not (await reviewer.ReviewAdmission(asked(MAX_REQUEST_BYTES - 100))).warnings
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await reviewer.ReviewAdmission(asked(MAX_REQUEST_BYTES))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_calls_have_a_largest_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CALLS", 2)
    async with serving(tmp_path / "s", KNOWN) as channel:
        inventory = InventoryStub(channel)
        request = inventory_pb2.WatchServiceRequest(namespace="shop", name="web")
        streams = [inventory.WatchService(request) for _ in range(2)]
        for stream in streams:
            await anext(aiter(stream))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await inventory.ListClusters(inventory_pb2.ListClustersRequest())
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        for stream in streams:
            stream.cancel()


async def test_the_services_are_listed_by_reflection(tmp_path: Path) -> None:
    async with serving(tmp_path / "s", KNOWN) as channel:
        stub: Any = ServerReflectionStub(cast("Any", channel))  # its stubs know no asyncio
        call = stub.ServerReflectionInfo()
        await call.write(ServerReflectionRequest(list_services=""))
        listed = await call.read()
        await call.write(ServerReflectionRequest(file_containing_symbol=f"{SERVICES[0]}"))
        described = await call.read()
        await call.done_writing()
    assert {*SERVICES} < {service.name for service in listed.list_services_response.service}
    assert described.file_descriptor_response.file_descriptor_proto
    assert [name.rpartition(".")[2] for name in SERVICES] == ["Planner", "Inventory", "Reviewer"]


async def test_a_method_that_is_none_is_reported(tmp_path: Path) -> None:
    async with serving(tmp_path / "s", KNOWN) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[object, bytes] = channel.unary_unary(
            f"/{SERVICES[0]}/Apply", lambda _: b"", bytes
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(None)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

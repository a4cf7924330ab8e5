"""The service Reviewer over a real socket: the answers, the work for them, and that nothing else is asked."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any

import grpc
import grpc.aio
import msgspec
import pytest

from tests.support.inventories import (
    Object,
    aggregated,
    cluster,
    clusters,
    export,
    exported,
    invalid,
    key,
    knowing,
    policy,
    propagation,
)
from tests.support.plugins import refusal, server, serving
from tests.support.worlds import key_of
from towpath.model.keys import Dialect, ServiceKey
from towpath.proto.v1alpha1 import reviewer_pb2 as pb
from towpath.proto.v1alpha1.reviewer_pb2_grpc import ReviewerStub
from towpath.proto.v1alpha1.service_pb2 import Finding
from towpath.rpc.server import GRACE_SECONDS
from towpath.rules.reasons import Advice

NO_OPERATION = "operation: The field is required. Use CREATE, UPDATE or DELETE."
pytestmark = pytest.mark.timeout(60)
KNOWN = knowing(*clusters("a", "b", "c"), *exported("web", "a", "b"))
EXPORT = export(targets=["r/z/g/nowhere"])
CREATE, UPDATE, DELETE = pb.OPERATION_CREATE, pb.OPERATION_UPDATE, pb.OPERATION_DELETE


def question(
    operation: pb.Operation.ValueType, obj: Object, old: Object | None = None
) -> pb.ReviewAdmissionRequest:
    group, _, version = obj["apiVersion"].rpartition("/")
    return pb.ReviewAdmissionRequest(
        uid="u-1",
        operation=operation,
        group=group,
        version=version,
        kind=obj["kind"],
        resource=f"{obj['kind'].lower()}s",
        namespace=obj["metadata"].get("namespace", ""),
        name=obj["metadata"]["name"],
        user_name="kubernetes-admin",
        user_groups=["system:masters"],
        object=b"" if operation == DELETE else msgspec.json.encode(obj),
        old_object=b"" if operation == CREATE else msgspec.json.encode(old or obj),
    )


@pytest.fixture
async def reviewer(tmp_path: Path) -> AsyncIterator[ReviewerStub]:
    async with serving(tmp_path / "s", KNOWN) as channel:
        yield ReviewerStub(channel)


async def test_a_change_is_reviewed(reviewer: ReviewerStub) -> None:
    answer = await reviewer.ReviewAdmission(question(CREATE, EXPORT))
    assert answer == pb.ReviewAdmissionResponse(
        warnings=[
            Finding(
                reason="UnknownTargetCluster",
                field="spec.targetClusters[0]",
                text=f"spec.targetClusters[0] (r/z/g/nowhere): {Advice.UNKNOWN_TARGET_CLUSTER.text}",
            )
        ]
    )
    dry = question(UPDATE, EXPORT)
    dry.dry_run = True
    assert await reviewer.ReviewAdmission(dry) == answer
    assert await reviewer.ReviewAdmission(question(DELETE, EXPORT)) == pb.ReviewAdmissionResponse()


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (pb.ReviewAdmissionRequest(object=b"{}"), "operation"),
        (pb.ReviewAdmissionRequest(operation=9, object=b"{}"), "operation"),  # type: ignore[arg-type]
        (pb.ReviewAdmissionRequest(operation=CREATE), "object"),
        (pb.ReviewAdmissionRequest(operation=CREATE, object=b"[]"), "object"),
        (pb.ReviewAdmissionRequest(operation=UPDATE, object=b"{}"), "old_object"),
        (pb.ReviewAdmissionRequest(operation=DELETE, object=b"{}"), "old_object"),
    ],
)
async def test_messages_that_are_no_question(
    reviewer: ReviewerStub, asked: pb.ReviewAdmissionRequest, field: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await reviewer.ReviewAdmission(asked)
    code, reason, fields = refusal(caught.value)
    assert (code, reason, [*fields]) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", [field])


async def test_karmada_gets_a_status(reviewer: ReviewerStub) -> None:
    obj = export()
    reported = msgspec.json.encode(aggregated({"a": invalid("no such port"), "b": {}}))
    answer = await reviewer.AggregateStatus(
        pb.AggregateStatusRequest(object=msgspec.json.encode(obj), aggregated_status=reported)
    )
    status = json.loads(answer.status)
    assert status["offeredTo"] == ["a", "c"]
    assert [c["type"] for c in status["conditions"]] == ["Valid", "Conflict", "Ready"]
    obj["status"] = status
    request = pb.AggregateStatusRequest(object=msgspec.json.encode(obj), aggregated_status=reported)
    assert not (await reviewer.AggregateStatus(request)).HasField("status")
    for other in (policy(), {**obj, "apiVersion": "multicluster.x-k8s.io/v1alpha1"}, export("unknown")):
        unknown = pb.AggregateStatusRequest(object=msgspec.json.encode(other))
        assert not (await reviewer.AggregateStatus(unknown)).HasField("status")


@pytest.mark.parametrize(
    ("obj", "items", "field"),
    [
        (b"", b"", "object"),
        (b"{", b"", "object"),
        (b"[]", b"", "object"),
        (b'{"kind": "ServiceExport"}', b"", "object"),
        (b"[" * 20_000, b"", "object"),
        (msgspec.json.encode({**export(), "status": {"conditions": "x"}}), b"", "object"),
        (msgspec.json.encode({**export(), "status": {"conditions": [{"type": 5}]}}), b"", "object"),
        (msgspec.json.encode({**export(), "status": {"conditions": ["x"]}}), b"", "object"),
        (msgspec.json.encode(export()), b"{}", "aggregated_status"),
        (msgspec.json.encode(export()), b"[5]", "aggregated_status"),
        (msgspec.json.encode(export()), b"[", "aggregated_status"),
        (msgspec.json.encode(export()), b"[{}]", "aggregated_status"),
    ],
)
async def test_objects_that_are_no_export_and_statuses_that_are_none(
    reviewer: ReviewerStub, obj: bytes, items: bytes, field: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await reviewer.AggregateStatus(pb.AggregateStatusRequest(object=obj, aggregated_status=items))
    code, reason, fields = refusal(caught.value)
    assert (code, reason, [*fields]) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", [field])


CONFLICT: Object = {"conditions": [{"type": "Conflict", "status": "True", "reason": "PortConflict"}]}


@pytest.mark.parametrize(
    ("obj", "text"),
    [
        (export(), ""),
        ({**export(), "status": None}, ""),
        ({**export(), "status": {"conditions": None}}, ""),
        ({**export(), "status": {"conditions": [{"type": "Valid", "status": "True"}]}}, ""),
        ({**export(), "status": {"conditions": [{"type": "Ready", "status": "False"}]}}, ""),
        ({**export(), "status": invalid("no such port")}, "Valid=False: no such port"),
        ({**export(), "status": CONFLICT}, "Conflict=True: PortConflict"),
        ({**export(version=Dialect.MULTICLUSTER.api_version), "status": invalid("no")}, "Valid=False: no"),
        ({**export(version="multicluster.x-k8s.io/v1alpha1"), "status": invalid("no")}, ""),
        ({**policy(), "status": invalid("no")}, ""),
        ({**policy(), "kind": "ServiceImport", "status": invalid("no")}, ""),
    ],
)
async def test_karmada_gets_the_health_of_a_copy(reviewer: ReviewerStub, obj: Object, text: str) -> None:
    answer = await reviewer.InterpretHealth(pb.InterpretHealthRequest(object=msgspec.json.encode(obj)))
    assert (answer.healthy, answer.text) == (not text, text)


async def test_before_the_world_is_known(tmp_path: Path) -> None:
    path = tmp_path / "s"
    obj = msgspec.json.encode({**export(), "status": invalid("no")})
    async with server(KNOWN, path), grpc.aio.insecure_channel(f"unix:{path}") as channel:
        reviewer = ReviewerStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await reviewer.ReviewAdmission(question(CREATE, EXPORT))
        assert refusal(caught.value) == (grpc.StatusCode.UNAVAILABLE, "NOT_IN_SYNC", {})
        unchanged = await reviewer.AggregateStatus(pb.AggregateStatusRequest(object=obj))
        assert not unchanged.HasField("status")
        assert not (await reviewer.InterpretHealth(pb.InterpretHealthRequest(object=obj))).healthy


def asked(*objects: Object) -> pb.ReviewRequest:
    return pb.ReviewRequest(
        questions=[pb.Question(review_admission=question(CREATE, obj)) for obj in objects]
    )


async def test_on_a_stream_each_question_gets_its_answer_in_its_place(reviewer: ReviewerStub) -> None:
    change = question(CREATE, EXPORT)
    reported = pb.AggregateStatusRequest(
        object=msgspec.json.encode(export()), aggregated_status=msgspec.json.encode(aggregated({"a": {}}))
    )
    copy = pb.InterpretHealthRequest(object=msgspec.json.encode({**export(), "status": CONFLICT}))
    stream = reviewer.Review()
    await stream.write(
        pb.ReviewRequest(
            questions=[
                pb.Question(review_admission=change),
                pb.Question(interpret_health=copy),
                pb.Question(),
                pb.Question(review_admission=pb.ReviewAdmissionRequest(object=b"{}")),
                pb.Question(aggregate_status=reported),
            ]
        )
    )
    await stream.write(pb.ReviewRequest())
    await stream.write(asked(export()))
    await stream.done_writing()
    first, second, third = [response async for response in stream]
    review, health, *refused, status = first.answers
    assert review.review_admission == await reviewer.ReviewAdmission(change)
    assert health.interpret_health == await reviewer.InterpretHealth(copy)
    assert status.aggregate_status.status
    assert status.aggregate_status == await reviewer.AggregateStatus(reported)
    invalid_argument = grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert [(answer.refusal.code, answer.refusal.reason, answer.refusal.text) for answer in refused] == [
        (invalid_argument, "INVALID_REQUEST", "asked: The field is required. Set one question."),
        (
            invalid_argument,
            "INVALID_REQUEST",
            "operation: The field is required. Use CREATE, UPDATE or DELETE.",
        ),
    ]
    assert second == pb.ReviewResponse()
    assert third == pb.ReviewResponse(answers=[pb.Answer(review_admission=pb.ReviewAdmissionResponse())])
    assert await stream.code() is grpc.StatusCode.OK


class _Broken(dict[ServiceKey, str]):
    """A mapping whose keys cannot be read."""

    def get(self, _: object, __: object = None) -> Any:
        raise ZeroDivisionError


async def test_an_exception_or_an_early_question_ends_no_stream(tmp_path: Path) -> None:
    status = pb.AggregateStatusRequest(
        object=msgspec.json.encode(export()), aggregated_status=msgspec.json.encode(aggregated({"a": {}}))
    )
    path = tmp_path / "s"
    async with (
        server(KNOWN, path, kept=_Broken()) as made,
        grpc.aio.insecure_channel(f"unix:{path}") as channel,
    ):
        stream = ReviewerStub(channel).Review()
        await stream.write(asked(EXPORT))
        early = (await answer_on(stream)).refusal
        made.in_sync()
        await stream.write(pb.ReviewRequest(questions=[pb.Question(aggregate_status=status)]))
        bug = (await answer_on(stream)).refusal
        await stream.write(asked(EXPORT))
        assert (await answer_on(stream)).review_admission.warnings
    assert (early.code, early.reason) == (grpc.StatusCode.UNAVAILABLE.value[0], "NOT_IN_SYNC")
    assert (bug.code, bug.reason) == (grpc.StatusCode.INTERNAL.value[0], "BUG")


async def test_streams_end_when_the_plugin_stops(tmp_path: Path) -> None:
    """Those that wait do so with OK and at once: they are not what its grace is for."""
    path = tmp_path / "s"
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        async with server(KNOWN, path) as made:
            made.in_sync()
            streams = [ReviewerStub(channel).Review() for _ in range(3)]
            for stream in streams:
                await stream.write(asked(EXPORT))
                await answer_on(stream)
            began = time.monotonic()
        assert time.monotonic() - began < GRACE_SECONDS
        for stream in streams:
            assert await stream.read() is grpc.aio.EOF
            assert await stream.code() is grpc.StatusCode.OK


async def answer_on(stream: grpc.aio.StreamStreamCall[pb.ReviewRequest, pb.ReviewResponse]) -> pb.Answer:
    response = await stream.read()
    assert isinstance(response, pb.ReviewResponse)
    (answer,) = response.answers
    return answer


Call = Callable[[Any], Awaitable[object]]


def fleet(services: int) -> list[Object]:
    names = [f"m{number}" for number in range(100)]
    exports = [
        obj for number in range(services) for obj in exported(f"web-{number}", *names[number % 50 :: 3])
    ]
    return [*(cluster(name, f"10.0.0.{n}:80") for n, name in enumerate(names)), *exports]


@pytest.mark.parametrize(
    ("asked", "each"), [("export", 0), ("policy", 0), ("propagation", 2), ("status", 0), ("health", 0)]
)
async def test_the_work_of_an_answer_in_a_large_fleet(tmp_path: Path, asked: str, each: int) -> None:
    """Other services add nothing, or ``each`` some calls of our functions where the question is about all.

    Counted and not timed: the machine may be busy.
    """
    few, many = [await _calls(tmp_path / f"{services}", services, asked) for services in (50, 300)]
    assert few > 5, "the work is counted"
    assert many - few < few * 0.2 + each * 250


async def _calls(socket: Path, services: int, asked: str) -> int:
    """Return how many calls of Towpath's functions an answer takes among so many services."""
    obj = export("web-7", (80, "/web-9"), targets=[key_of(f"m{n}") for n in range(40)])
    traffic = policy("web-7", "ActiveActive", *({"clusterKey": key_of(f"m{n}")} for n in range(40)))
    spread = propagation("all", kind="ClusterPropagationPolicy")
    raw, reported = (
        msgspec.json.encode(export("web-7")),
        aggregated({f"m{n}": invalid("no") for n in range(100)}),
    )
    async with serving(socket, knowing(*fleet(services))) as channel:
        reviewer = ReviewerStub(channel)
        calls: dict[str, tuple[Call, object]] = {
            "export": (reviewer.ReviewAdmission, question(UPDATE, obj)),
            "policy": (reviewer.ReviewAdmission, question(UPDATE, traffic)),
            "propagation": (reviewer.ReviewAdmission, question(DELETE, spread)),
            "status": (
                reviewer.AggregateStatus,
                pb.AggregateStatusRequest(object=raw, aggregated_status=msgspec.json.encode(reported)),
            ),
            "health": (reviewer.InterpretHealth, pb.InterpretHealthRequest(object=raw)),
        }
        call, request = calls[asked]
        await call(request)  # what is worked out once and kept is no part of an answer
        counted = 0

        def count(frame: FrameType, event: str, _: object) -> None:
            nonlocal counted
            counted += event == "call" and "/towpath/" in frame.f_code.co_filename

        sys.setprofile(count)
        try:
            await call(request)
        finally:
            sys.setprofile(None)
        return counted


def test_the_fleet_is_one_where_there_is_something_to_say() -> None:
    """Else the counts above say nothing."""
    inventory = knowing(*fleet(50))
    derived = inventory.world.derived(key("web-7"), time.time())
    assert derived is not None
    assert len(derived.exporters) > 25
    assert len(derived.views) == 100

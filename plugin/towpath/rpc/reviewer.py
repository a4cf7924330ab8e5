"""The servicer of ``Reviewer``: questions that the webhook forwards from the apiserver and from Karmada."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
from grpc.aio import ServicerContext

from towpath.inventory.inventory import Inventory
from towpath.karmada import decode
from towpath.model.keys import Dialect, ServiceKey
from towpath.proto.v1alpha1 import reviewer_pb2 as pb
from towpath.proto.v1alpha1 import reviewer_pb2_grpc
from towpath.proto.v1alpha1.service_pb2 import Finding
from towpath.review.admission import Change, review
from towpath.review.status import Aggregation, StatusQuestion
from towpath.rpc.errors import invalid_request, not_in_sync
from towpath.rpc.interceptor import status_error
from towpath.rpc.stream import Streams
from towpath.rules.health import why_unhealthy

_REQUIRED_FIELDS = {
    pb.OPERATION_CREATE: ("object",),
    pb.OPERATION_UPDATE: ("object", "old_object"),
    pb.OPERATION_DELETE: ("old_object",),
}
"""The fields of the object that each operation has."""


class _Condition(msgspec.Struct, rename="camel"):
    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str = ""


class _Status(msgspec.Struct):
    conditions: list[_Condition] | None = None


class _Meta(msgspec.Struct, frozen=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    generation: int = 0


class _Object(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    metadata: _Meta = _Meta()
    status: dict[str, Any] | None = None


class ReviewerServicer(reviewer_pb2_grpc.ReviewerServicer):
    """Answers from an inventory."""

    def __init__(self, inventory: Inventory, aggregation: Aggregation, in_sync: Callable[[], bool]) -> None:
        self._inventory = inventory
        self._aggregation = aggregation
        self._in_sync = in_sync
        self._streams = Streams()

    def stop(self) -> None:
        """End every stream, each after its last response."""
        self._streams.stop()

    async def ReviewAdmission(  # noqa: N802 - named by the contract
        self,
        request: pb.ReviewAdmissionRequest,
        context: ServicerContext[pb.ReviewAdmissionRequest, Awaitable[pb.ReviewAdmissionResponse]],
    ) -> pb.ReviewAdmissionResponse:
        """Return the warnings about a change."""
        return self._review_admission(request)

    def _review_admission(self, request: pb.ReviewAdmissionRequest) -> pb.ReviewAdmissionResponse:
        required = _REQUIRED_FIELDS.get(request.operation)
        if required is None:
            raise invalid_request(
                {"operation": "operation: The field is required. Use CREATE, UPDATE or DELETE."}
            )
        missing = [field for field in required if not getattr(request, field).lstrip().startswith(b"{")]
        if missing:
            raise invalid_request(
                {field: f"{field}: The field is not a JSON object. Send one." for field in missing}
            )
        if not self._in_sync():
            raise not_in_sync()
        obj, old = (
            getattr(request, field) if field in required else None for field in ("object", "old_object")
        )
        change = Change(request.group, request.kind, request.namespace, request.name, obj, old)
        found = review(change, self._inventory, time.time())
        response = pb.ReviewAdmissionResponse()
        for f in found:
            (response.errors if f.is_error else response.warnings).append(
                Finding(reason=f.reason, field=f.field, text=f.text)
            )
        return response

    async def AggregateStatus(  # noqa: N802 - named by the contract
        self,
        request: pb.AggregateStatusRequest,
        context: ServicerContext[pb.AggregateStatusRequest, Awaitable[pb.AggregateStatusResponse]],
    ) -> pb.AggregateStatusResponse:
        """Return the status that the controller would write."""
        return self._aggregate_status(request)

    def _aggregate_status(self, request: pb.AggregateStatusRequest) -> pb.AggregateStatusResponse:
        question = _question(request)
        if question is None or not self._in_sync():
            return pb.AggregateStatusResponse()
        status = self._aggregation.status(question, time.time())
        if status is None:
            return pb.AggregateStatusResponse()
        return pb.AggregateStatusResponse(status=msgspec.json.encode(status, order="sorted"))

    async def InterpretHealth(  # noqa: N802 - named by the contract
        self,
        request: pb.InterpretHealthRequest,
        context: ServicerContext[pb.InterpretHealthRequest, Awaitable[pb.InterpretHealthResponse]],
    ) -> pb.InterpretHealthResponse:
        """Return whether a member reports its copy as healthy."""
        return self.interpret_health(request)

    @staticmethod
    def interpret_health(request: pb.InterpretHealthRequest) -> pb.InterpretHealthResponse:
        """Return whether a copy is healthy."""
        obj, status = _read(request.object)
        text = why_unhealthy({"apiVersion": obj.api_version, "kind": obj.kind, "status": status})
        return pb.InterpretHealthResponse(healthy=not text, text=text)

    async def Review(  # noqa: N802 - named by the contract
        self,
        request_iterator: AsyncIterator[pb.ReviewRequest],
        context: ServicerContext[AsyncIterator[pb.ReviewRequest], AsyncIterator[pb.ReviewResponse]],
    ) -> AsyncIterator[pb.ReviewResponse]:
        """Answer the questions, request by request."""
        async for request in self._streams.requests(request_iterator):
            yield pb.ReviewResponse(answers=map(self._answer, request.questions))

    def _answer(self, question: pb.Question) -> pb.Answer:
        try:
            match question.WhichOneof("asked"):
                case "review_admission":
                    return pb.Answer(review_admission=self._review_admission(question.review_admission))
                case "aggregate_status":
                    return pb.Answer(aggregate_status=self._aggregate_status(question.aggregate_status))
                case "interpret_health":
                    return pb.Answer(interpret_health=self.interpret_health(question.interpret_health))
                case _:
                    raise invalid_request({"asked": "asked: The field is required. Set one question."})
        except Exception as error:
            status = status_error(error, "Review")
            refusal = pb.Refusal(code=status.code.value[0], reason=status.reason, text=str(status))
            return pb.Answer(refusal=refusal)


def _question(request: pb.AggregateStatusRequest) -> StatusQuestion | None:
    """Return the question about a ServiceExport, None for another kind. Raises StatusError."""
    obj, status = _read(request.object)
    dialect, meta = _dialect(obj), obj.metadata
    if dialect is None or obj.kind != "ServiceExport":
        return None
    try:
        items = request.aggregated_status or b"[]"
        copies = decode.copies_of("ServiceExport", b'{"aggregatedStatus":%b}' % items)
    except msgspec.DecodeError as error:
        raise invalid_request(
            {"aggregated_status": f"aggregated_status: The field is not that of a ResourceBinding: {error}."}
        ) from None
    return StatusQuestion(
        ServiceKey(dialect, meta.namespace, meta.name), meta.uid, meta.generation, status, copies
    )


def _read(raw: bytes) -> tuple[_Object, dict[str, Any]]:
    """Return an object and its status. Raises StatusError."""
    try:
        obj = msgspec.json.decode(raw, type=_Object)
        msgspec.convert(obj.status or {}, _Status)
    except (msgspec.DecodeError, RecursionError) as error:
        raise invalid_request(
            {"object": f"object: The field is not a Kubernetes object as JSON: {error}."}
        ) from None
    return obj, obj.status or {}


def _dialect(obj: _Object) -> Dialect | None:
    return next((each for each in Dialect if each.api_version == obj.api_version), None)

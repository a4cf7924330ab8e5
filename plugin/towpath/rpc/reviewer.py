"""Answering the service ``Reviewer``: what the webhook asks on behalf of the apiserver and of Karmada."""

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
from towpath.rpc.errors import invalid, not_in_sync
from towpath.rpc.interceptor import refusal_of
from towpath.rpc.stream import Conversations
from towpath.rules.health import why_unhealthy

_HAS = {
    pb.OPERATION_CREATE: ("object",),
    pb.OPERATION_UPDATE: ("object", "old_object"),
    pb.OPERATION_DELETE: ("old_object",),
}
"""What there is of an object, by what is done to it."""


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
    """The service over an inventory."""

    def __init__(self, inventory: Inventory, aggregation: Aggregation, in_sync: Callable[[], bool]) -> None:
        self._inventory = inventory
        self._aggregation = aggregation
        self._in_sync = in_sync
        self._conversations = Conversations()

    def stop(self) -> None:
        """End every stream, each after its last answer."""
        self._conversations.stop()

    async def ReviewAdmission(  # noqa: N802 - named by the contract
        self,
        request: pb.ReviewAdmissionRequest,
        context: ServicerContext[pb.ReviewAdmissionRequest, Awaitable[pb.ReviewAdmissionResponse]],
    ) -> pb.ReviewAdmissionResponse:
        """Answer with what surprises about a change."""
        return self._review_admission(request)

    def _review_admission(self, request: pb.ReviewAdmissionRequest) -> pb.ReviewAdmissionResponse:
        needed = _HAS.get(request.operation)
        if needed is None:
            raise invalid({"operation": "an operation must be given: CREATE, UPDATE or DELETE"})
        missing = [field for field in needed if not getattr(request, field).lstrip().startswith(b"{")]
        if missing:
            raise invalid({field: f"{field} must be a JSON object" for field in missing})
        if not self._in_sync():
            raise not_in_sync()
        obj, old = (
            getattr(request, field) if field in needed else None for field in ("object", "old_object")
        )
        change = Change(request.group, request.kind, request.namespace, request.name, obj, old)
        found = review(change, self._inventory, time.time())
        return pb.ReviewAdmissionResponse(
            warnings=[Finding(reason=one.reason, field=one.field, text=one.text) for one in found]
        )

    async def AggregateStatus(  # noqa: N802 - named by the contract
        self,
        request: pb.AggregateStatusRequest,
        context: ServicerContext[pb.AggregateStatusRequest, Awaitable[pb.AggregateStatusResponse]],
    ) -> pb.AggregateStatusResponse:
        """Answer with the status that the controller would write."""
        return self._aggregate_status(request)

    def _aggregate_status(self, request: pb.AggregateStatusRequest) -> pb.AggregateStatusResponse:
        asked = _asked(request)
        if asked is None or not self._in_sync():
            return pb.AggregateStatusResponse()
        status = self._aggregation.status(asked, time.time())
        if status is None:
            return pb.AggregateStatusResponse()
        return pb.AggregateStatusResponse(status=msgspec.json.encode(status, order="sorted"))

    async def InterpretHealth(  # noqa: N802 - named by the contract
        self,
        request: pb.InterpretHealthRequest,
        context: ServicerContext[pb.InterpretHealthRequest, Awaitable[pb.InterpretHealthResponse]],
    ) -> pb.InterpretHealthResponse:
        """Answer with what a member says of its copy."""
        return self._interpret_health(request)

    @staticmethod
    def _interpret_health(request: pb.InterpretHealthRequest) -> pb.InterpretHealthResponse:
        obj, status = _read(request.object)
        text = why_unhealthy({"apiVersion": obj.api_version, "kind": obj.kind, "status": status})
        return pb.InterpretHealthResponse(healthy=not text, text=text)

    async def Review(  # noqa: N802 - named by the contract
        self,
        request_iterator: AsyncIterator[pb.ReviewRequest],
        context: ServicerContext[AsyncIterator[pb.ReviewRequest], AsyncIterator[pb.ReviewResponse]],
    ) -> AsyncIterator[pb.ReviewResponse]:
        """Answer what is asked, request by request."""
        async for request in self._conversations.requests(request_iterator):
            yield pb.ReviewResponse(answers=map(self._answer, request.questions))

    def _answer(self, question: pb.Question) -> pb.Answer:
        try:
            match question.WhichOneof("asked"):
                case "review_admission":
                    return pb.Answer(review_admission=self._review_admission(question.review_admission))
                case "aggregate_status":
                    return pb.Answer(aggregate_status=self._aggregate_status(question.aggregate_status))
                case "interpret_health":
                    return pb.Answer(interpret_health=self._interpret_health(question.interpret_health))
                case _:
                    raise invalid({"asked": "a question must be given"})
        except Exception as error:
            why = refusal_of(error, "Review")
            return pb.Answer(refusal=pb.Refusal(code=why.code.value[0], reason=why.reason, text=str(why)))


def _asked(request: pb.AggregateStatusRequest) -> StatusQuestion | None:
    """Return what is asked; None of something else than a ServiceExport. Raises Refused."""
    obj, status = _read(request.object)
    dialect, meta = _dialect(obj), obj.metadata
    if dialect is None or obj.kind != "ServiceExport":
        return None
    try:
        refused = dict(decode.refusals(b'{"aggregatedStatus":%b}' % (request.aggregated_status or b"[]")))
    except msgspec.DecodeError as error:
        raise invalid({"aggregated_status": f"aggregated_status is not Karmada's: {error}"}) from None
    return StatusQuestion(
        ServiceKey(dialect, meta.namespace, meta.name), meta.uid, meta.generation, status, refused
    )


def _read(raw: bytes) -> tuple[_Object, dict[str, Any]]:
    """Return an object and its status. Raises Refused."""
    try:
        obj = msgspec.json.decode(raw, type=_Object)
        msgspec.convert(obj.status or {}, _Status)
    except (msgspec.DecodeError, RecursionError) as error:
        raise invalid({"object": f"object is no Kubernetes object as JSON: {error}"}) from None
    return obj, obj.status or {}


def _dialect(obj: _Object) -> Dialect | None:
    return next((dialect for dialect in Dialect if dialect.api_version == obj.api_version), None)

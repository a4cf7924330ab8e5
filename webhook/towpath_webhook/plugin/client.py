"""The client of the plugin: questions with a deadline, answered or not.

All questions share one stream (``stream``) until either side ends it: the plugin because it stops, or the
client because an answer is late. The next question opens another stream.

Without a plugin a question fails at once: gRPC reports it, and reconnects in the background, at least once a
second. A late answer counts as none.

A channel keeps the certificates that it was created with. When they are renewed, the old ones fail to
connect: then a new channel is created, and the files are read again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import NamedTuple, Self

import grpc
import grpc.aio
import msgspec
import structlog

from towpath.errors import UsageError
from towpath.proto.v1alpha1 import reviewer_pb2 as pb
from towpath.proto.v1alpha1.reviewer_pb2_grpc import ReviewerStub
from towpath.proto.v1alpha1.service_pb2 import Finding
from towpath_webhook.admission.fields import Problem
from towpath_webhook.admission.interpreter import InterpreterRequest
from towpath_webhook.admission.review import Request, Verdict
from towpath_webhook.metrics import Metrics, PluginCall
from towpath_webhook.plugin.stream import NoAnswer, Stream

DEADLINE_SECONDS = 1.0
"""The plugin answers from memory, and an apiserver waits three seconds for the webhook."""
CHANNEL_RENEWAL_SECONDS = 5.0
"""Minimum age of a channel before it is replaced."""
_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.use_local_subchannel_pool", 1),
)
_RECONNECT_CODES = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
"""The result of a call if the plugin, or the certificate of the connection, is no longer valid."""
_OPERATIONS = {
    "CREATE": pb.OPERATION_CREATE,
    "UPDATE": pb.OPERATION_UPDATE,
    "DELETE": pb.OPERATION_DELETE,
}
_encode = msgspec.json.Encoder().encode

log = structlog.get_logger()


class PluginAddress(NamedTuple):
    """A gRPC target, and a function that reads its certificates (none for a unix socket) or raises
    UsageError."""

    target: str
    credentials: Callable[[], grpc.ChannelCredentials] | None = None


class PluginClient:
    """A connection to the plugin, as an async context manager. Raises UsageError if certificates are
    invalid."""

    def __init__(self, address: PluginAddress, metrics: Metrics) -> None:
        self._address = address
        self._metrics = metrics
        self._is_silent = False
        self._connected_at = 0.0
        self._stream: Stream | None = None

    async def __aenter__(self) -> Self:
        self._connect()
        return self

    def _connect(self) -> None:
        target, credentials = self._address
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(target, credentials(), options=_OPTIONS)
        self._stub = ReviewerStub(self._channel)
        self._connected_at = time.monotonic()

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._end(grpc.StatusCode.CANCELLED, "the webhook is shutting down")
        await self._channel.close()

    async def review(self, request: Request) -> Verdict | None:
        """Return the verdict on a change, None if the plugin does not answer."""
        question = pb.Question(review_admission=to_review_request(request))
        answer = await self._ask(PluginCall.REVIEW, question)
        if answer is None:
            return None
        review = answer.review_admission
        return Verdict(
            warnings=tuple(warning.text for warning in review.warnings),
            problems=tuple(_problems(review.errors)),
        )

    async def status(self, request: InterpreterRequest) -> bytes | None:
        """Return the status that an export should have, None to leave it unchanged."""
        question = pb.Question(aggregate_status=to_status_request(request))
        answer = await self._ask(PluginCall.STATUS, question)
        if answer is None or not answer.aggregate_status.HasField("status"):
            return None
        return answer.aggregate_status.status

    async def _ask(self, call: PluginCall, question: pb.Question) -> pb.Answer | None:
        with self._metrics.plugin_seconds[call].time():
            try:
                answer = await self._ask_twice(question)
            except NoAnswer as error:
                self._metrics.plugin_failures[error.code.name].inc()
                if not self._is_silent:
                    self._is_silent = True
                    log.warning("plugin does not answer", code=error.code.name, reason=str(error))
                if error.code in _RECONNECT_CODES:
                    await self._renew_channel()
                return None
        if self._is_silent:
            self._is_silent = False
            log.info("plugin answers again")
        return answer

    async def _ask_twice(self, question: pb.Question) -> pb.Answer:
        """Ask, and ask again if the plugin that was asked has stopped. Raises NoAnswer."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                try:
                    return await self._open().ask(question)
                except NoAnswer as error:
                    if error.code is not grpc.StatusCode.OK:
                        raise
                return await self._open().ask(question)
        except TimeoutError:
            code = grpc.StatusCode.DEADLINE_EXCEEDED
            late = NoAnswer(code, f"no answer within {DEADLINE_SECONDS:g} s")
            # Later questions on this stream have waited as well: their answers would be late, too.
            self._end(late.code, str(late))
            raise late from None

    def _open(self) -> Stream:
        """Return an open stream."""
        if self._stream is None or self._stream.is_over:
            self._stream = Stream(self._stub)
        return self._stream

    def _end(self, code: grpc.StatusCode, reason: str) -> None:
        if self._stream is not None:
            self._stream.end(code, reason)

    async def _renew_channel(self) -> None:
        """Replace the channel by one with the present certificates, unless it is new."""
        age = time.monotonic() - self._connected_at
        if self._address.credentials is None or age < CHANNEL_RENEWAL_SECONDS:
            return
        old = self._channel
        self._end(grpc.StatusCode.UNAVAILABLE, "the connection is renewed")
        try:
            self._connect()
        except UsageError as error:
            self._connected_at = time.monotonic()
            log.warning("certificates not reloaded", reason=str(error))
        else:
            await old.close(DEADLINE_SECONDS)


def to_review_request(request: Request) -> pb.ReviewAdmissionRequest:
    """Return an admission request as a message."""
    old = bytes(request.old_json)
    return pb.ReviewAdmissionRequest(
        uid=request.uid,
        operation=_OPERATIONS.get(request.operation, pb.OPERATION_UNSPECIFIED),
        group=request.kind.group,
        version=request.kind.version,
        kind=request.kind.kind,
        resource=request.resource.resource,
        namespace=request.namespace,
        name=request.name,
        user_name=request.user_info.username,
        user_groups=request.user_info.groups or (),
        dry_run=bool(request.dry_run),
        object=b"" if request.obj is None else _encode(request.obj),
        old_object=old if old.startswith(b"{") else b"",
    )


def to_status_request(request: InterpreterRequest) -> pb.AggregateStatusRequest:
    """Return a request of Karmada's interpreter as a message."""
    return pb.AggregateStatusRequest(
        object=_encode(request.obj), aggregated_status=_encode(request.aggregated_status or [])
    )


def _problems(findings: Iterable[Finding]) -> Iterable[Problem]:
    for finding in findings:
        yield Problem(finding.field, finding.text.removeprefix(f"{finding.field}: "))

"""Asking the plugin, over gRPC, with a deadline: what it says, or that it says nothing.

All is asked on one stream (``asking``), which lasts until somebody ends it: the plugin, because it stops, or
we, because it has not answered in time. Then the next question opens another.

Nobody waits for a plugin that is not there: gRPC tells at once that nobody answers, and tries to connect
again in the background every second at the latest. An answer that comes late counts as none.

A channel keeps the certificates that it was made with. Where they have been renewed, the old ones end as
connections that cannot be made: then the channel is made anew, and the files are read again.
"""

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
from towpath_webhook.admission.interpreter import Context
from towpath_webhook.admission.review import Request, Verdict
from towpath_webhook.metrics import Call, Metrics
from towpath_webhook.plugin.stream import Stream, Unanswered

DEADLINE = 1.0
"""Seconds: the plugin answers from memory, and an apiserver waits three for us."""
RENEWAL = 5.0
"""Seconds that a channel is given before it is made anew."""
_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.use_local_subchannel_pool", 1),
)
_GONE = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
"""What is said of a plugin, or a certificate, that the connection was made with and is no more."""
_OPERATIONS = {
    "CREATE": pb.OPERATION_CREATE,
    "UPDATE": pb.OPERATION_UPDATE,
    "DELETE": pb.OPERATION_DELETE,
}
_encode = msgspec.json.Encoder().encode

log = structlog.get_logger()


class Address(NamedTuple):
    """A gRPC target, and what reads the certificates for it: none for a unix socket. It raises UsageError."""

    target: str
    credentials: Callable[[], grpc.ChannelCredentials] | None = None


class Plugin:
    """The plugin at an address, as an async context manager. Raises UsageError if that cannot be."""

    def __init__(self, address: Address, metrics: Metrics) -> None:
        self._address = address
        self._metrics = metrics
        self._silent = False
        self._made_at = 0.0
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
        self._made_at = time.monotonic()

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._end(grpc.StatusCode.CANCELLED, "the webhook stops")
        await self._channel.close()

    async def review(self, request: Request) -> Verdict | None:
        """Return what the plugin says of a change, None if it says nothing."""
        answer = await self._ask(Call.REVIEW, pb.Question(review_admission=change_of(request)))
        if answer is None:
            return None
        said = answer.review_admission
        return Verdict(
            warnings=tuple(one.text for one in said.warnings), problems=tuple(_problems(said.errors))
        )

    async def status(self, context: Context) -> bytes | None:
        """Return the status that an export should have, None for the one that it has."""
        answer = await self._ask(Call.STATUS, pb.Question(aggregate_status=copies_of(context)))
        if answer is None or not answer.aggregate_status.HasField("status"):
            return None
        return answer.aggregate_status.status

    async def _ask(self, call: Call, question: pb.Question) -> pb.Answer | None:
        with self._metrics.plugin_seconds[call].time():
            try:
                answer = await self._answered(question)
            except Unanswered as error:
                self._metrics.plugin_failures[error.code.name].inc()
                if not self._silent:
                    self._silent = True
                    log.warning("the plugin does not answer", code=error.code.name, why=str(error))
                if error.code in _GONE:
                    await self._renew()
                return None
        if self._silent:
            self._silent = False
            log.info("the plugin answers again")
        return answer

    async def _answered(self, question: pb.Question) -> pb.Answer:
        """Ask, and ask again if the plugin that was asked stopped. Raises Unanswered."""
        try:
            async with asyncio.timeout(DEADLINE):
                try:
                    return await self._open().ask(question)
                except Unanswered as error:
                    if error.code is not grpc.StatusCode.OK:
                        raise
                return await self._open().ask(question)
        except TimeoutError:
            late = Unanswered(grpc.StatusCode.DEADLINE_EXCEEDED, f"no answer within {DEADLINE:g} s")
            # What is on its way has waited behind this one, and is of no use to anybody when it comes.
            self._end(late.code, str(late))
            raise late from None

    def _open(self) -> Stream:
        """Return a stream that is open, as far as is known."""
        if self._stream is None or self._stream.over:
            self._stream = Stream(self._stub)
        return self._stream

    def _end(self, code: grpc.StatusCode, why: str) -> None:
        if self._stream is not None:
            self._stream.end(code, why)

    async def _renew(self) -> None:
        """Make the channel anew, with what the certificates are now; not more often than makes sense."""
        if self._address.credentials is None or time.monotonic() - self._made_at < RENEWAL:
            return
        old = self._channel
        self._end(grpc.StatusCode.UNAVAILABLE, "the connection is made anew")
        try:
            self._connect()
        except UsageError as error:
            self._made_at = time.monotonic()
            log.warning("certificates not taken", reason=str(error))
        else:
            await old.close(DEADLINE)


def change_of(request: Request) -> pb.ReviewAdmissionRequest:
    """Return an admission request in the contract's words."""
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


def copies_of(context: Context) -> pb.AggregateStatusRequest:
    """Return what Karmada says of an export's copies in the contract's words."""
    return pb.AggregateStatusRequest(
        object=_encode(context.obj), aggregated_status=_encode(context.aggregated_status or [])
    )


def _problems(findings: Iterable[Finding]) -> Iterable[Problem]:
    for one in findings:
        yield Problem(one.field, one.text.removeprefix(f"{one.field}: "))

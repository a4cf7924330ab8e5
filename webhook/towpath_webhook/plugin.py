"""Asking the plugin, over gRPC, with a deadline: what it says, or that it says nothing.

Nobody waits for a plugin that is not there: gRPC tells at once that nobody answers, and tries to connect
again in the background every second at the latest. An answer that comes late counts as none.

A channel keeps the certificates that it was made with. Where they have been renewed, the old ones end as
connections that cannot be made: then the channel is made anew, and the files are read again.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

import grpc
import grpc.aio
import msgspec
import structlog

from towpath.errors import UsageError
from towpath.proto.v1alpha1 import reviewer_pb2 as pb
from towpath.proto.v1alpha1.reviewer_pb2_grpc import ReviewerStub
from towpath.proto.v1alpha1.service_pb2 import Finding
from towpath_webhook.fields import Problem
from towpath_webhook.interpreter import Context
from towpath_webhook.metrics import Call, Metrics
from towpath_webhook.review import Request, Verdict

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
_OPERATIONS = {
    "CREATE": pb.OPERATION_CREATE,
    "UPDATE": pb.OPERATION_UPDATE,
    "DELETE": pb.OPERATION_DELETE,
}
_encode = msgspec.json.Encoder().encode

A = TypeVar("A")
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
        await self._channel.close()

    async def review(self, request: Request) -> Verdict | None:
        """Return what the plugin says of a change, None if it says nothing."""
        asked = change_of(request)
        said = await self._ask(Call.REVIEW, lambda: self._stub.ReviewAdmission(asked, timeout=DEADLINE))
        if said is None:
            return None
        return Verdict(
            warnings=tuple(one.text for one in said.warnings), problems=tuple(_problems(said.errors))
        )

    async def status(self, context: Context) -> bytes | None:
        """Return the status that an export should have, None for the one that it has."""
        asked = copies_of(context)
        said = await self._ask(Call.STATUS, lambda: self._stub.AggregateStatus(asked, timeout=DEADLINE))
        return said.status if said is not None and said.HasField("status") else None

    async def _ask(self, call: Call, ask: Callable[[], Awaitable[A]]) -> A | None:
        with self._metrics.plugin_seconds[call].time():
            try:
                said = await ask()
            except grpc.aio.AioRpcError as error:
                self._metrics.plugin_failures[error.code().name].inc()
                if not self._silent:
                    self._silent = True
                    log.warning("the plugin does not answer", code=error.code().name, why=error.details())
                if error.code() is grpc.StatusCode.UNAVAILABLE:
                    await self._renew()
                return None
        if self._silent:
            self._silent = False
            log.info("the plugin answers again")
        return said

    async def _renew(self) -> None:
        """Make the channel anew, with what the certificates are now; not more often than makes sense."""
        if self._address.credentials is None or time.monotonic() - self._made_at < RENEWAL:
            return
        old = self._channel
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

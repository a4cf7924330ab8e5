"""The HTTP application: bare ASGI without a framework, which doubles its speed.

It answers POSTs of JSON on the paths of ``Routes``, and GETs on ``/healthz`` and ``/readyz``. Any other
request gets one line and the matching status, and its connection is closed, because its body may still be on
the way.

Work and memory are bounded for any body: the requests that are being answered by ``MAX_REQUESTS``, large
bodies by ``MAX_LARGE_BYTES``, and the values in a body by ``MAX_VALUES``. Beyond them a request is refused at
once, and ``failurePolicy`` decides. Large bodies are processed one at a time. Requests that are still being
received are bounded by the number of connections.

Each answer is logged in one line, with the uid and without the object.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, NamedTuple

import structlog

from towpath.errors import InvalidObject
from towpath_webhook.admission.hooks import VALIDATE_EXPORTS
from towpath_webhook.http.access import Route, Routes
from towpath_webhook.http.dispatch import Evaluation, Reply
from towpath_webhook.metrics import AnswerLabels, Metrics, Outcome

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_BODY_BYTES = 3 << 20
"""Size of a body: enough for the largest object that an apiserver stores, new and old."""
MAX_REQUESTS = 100
"""Requests that are being answered."""
MAX_VALUES = 150_000
"""JSON values in a body: each takes some 80 bytes once it is decoded."""
LARGE_BYTES = 256 << 10
"""From this size on a body is processed alone."""
MAX_LARGE_BYTES = 32 << 20
"""Size of all large bodies."""
HEALTH_PATHS = ("/healthz", "/readyz")
CLIENT_CERTIFICATE = "towpath.client-certificate"
"""Extension in the scope of a request whose client has shown a certificate."""
_TEXT, _JSON = b"text/plain; charset=utf-8", b"application/json"
_MAX_LOGGED = 253
"""Characters of a name in the log: as many as Kubernetes allows."""
_MAX_DIGITS = 12
"""Digits of a length that are read: far more bytes than are accepted."""
_PROBE = (
    b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"health","operation":"CREATE",'
    b'"object":{"kind":"ServiceExport","metadata":{"name":"health"},'
    b'"spec":{"rules":[{"portNumber":80,"path":"/health","pathType":"Prefix"}]}}}}'
)

log = structlog.get_logger()


class Answer(NamedTuple):
    """A response."""

    status: int
    body: bytes
    content_type: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


class HttpError(Exception):
    """A request that is not accepted, with its status."""

    def __init__(self, status: int, message: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(message)
        self.answer = Answer(status, f"{message}\n".encode(), _TEXT, (*headers, (b"connection", b"close")))


class _Disconnected(Exception):
    """The client has closed the connection."""


class App:
    """The application."""

    def __init__(self, routes: Routes, metrics: Metrics) -> None:
        self.routes = routes
        self.metrics = metrics
        self._in_flight = self._answering = 0
        self._large_bytes = 0
        self._large = asyncio.Lock()
        self.is_stopping = False
        """Whether the process shuts down: then it is not ready."""
        metrics.in_flight.set_function(lambda: self._in_flight)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        self._in_flight += 1
        try:
            answer = await self._answer(scope, receive)
        except _Disconnected:
            return
        except HttpError as error:
            answer = error.answer
            self.metrics.rejected[str(answer.status)].inc()
            path = self.routes.without_token(scope["path"])[:_MAX_LOGGED]
            log.warning("rejected", path=path, status=answer.status, reason=str(error))
        finally:
            self._in_flight -= 1
        length = str(len(answer.body)).encode()
        headers = [(b"content-type", answer.content_type), (b"content-length", length), *answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def check(self) -> str:
        """Answer a fixed request, and return why that failed, empty if it did not."""
        route = self.routes.find(VALIDATE_EXPORTS, has_certificate=False)
        if route is None:
            return "The webhook has no rules."
        _, outcome = await _reply(route.endpoint(_PROBE))
        return "" if outcome is Outcome.ALLOWED else f"The webhook answered a valid request with {outcome}."

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        path, method = scope["path"], scope["method"]
        if path in HEALTH_PATHS:
            return await self._health(path, method)
        route = self.routes.find(path, has_certificate=CLIENT_CERTIFICATE in scope.get("extensions", ()))
        if route is None:
            raise HttpError(404, "path: Nothing is served at this path.")
        if method != "POST":
            raise HttpError(405, "method: The path accepts POST only.", (b"allow", b"POST"))
        headers = dict(scope["headers"])
        content_type = headers.get(b"content-type", b"")
        if content_type != _JSON and content_type.partition(b";")[0].strip().lower() != _JSON:
            raise HttpError(415, "content-type: The body is not JSON. Send application/json.")
        buffer = _Buffer(self)
        try:
            body = await buffer.read(headers, receive)
            if self._answering >= MAX_REQUESTS:
                raise HttpError(503, f"{MAX_REQUESTS} requests are being answered. Try again.")
            self._answering += 1
            try:
                if len(body) < LARGE_BYTES:
                    return await self._respond(route, body)
                async with self._large:
                    _check_values(body)
                    await asyncio.sleep(0)  # other requests and health checks go first
                    return await self._respond(route, body)
            finally:
                self._answering -= 1
        finally:
            self._large_bytes -= buffer.reserved

    async def _health(self, path: str, method: str) -> Answer:
        if method not in {"GET", "HEAD"}:
            raise HttpError(405, "method: The path accepts GET only.", (b"allow", b"GET, HEAD"))
        problem = await self.check() if path == "/healthz" else ""
        return Answer(500, f"{problem}\n".encode(), _TEXT) if problem else Answer(200, b"ok\n", _TEXT)

    async def _respond(self, route: Route, body: bytes) -> Answer:
        started = time.perf_counter()
        try:
            evaluation = route.endpoint(body)
        except InvalidObject as error:
            raise HttpError(400, str(error)) from None
        if len(body) >= LARGE_BYTES:
            await asyncio.sleep(0)
        reply, outcome = await _reply(evaluation)
        self._record(route.path, evaluation, outcome, time.perf_counter() - started)
        return Answer(200, reply, _JSON)

    def _record(self, path: str, evaluation: Evaluation, outcome: Outcome, seconds: float) -> None:
        self.metrics.answers[AnswerLabels(path, outcome)].inc()
        self.metrics.seconds[path].observe(seconds)
        request = evaluation.request
        log.info(
            outcome.value,
            path=path,
            uid=request.uid,
            operation=request.operation[:_MAX_LOGGED],
            kind=request.kind.kind[:_MAX_LOGGED],
            namespace=request.namespace[:_MAX_LOGGED],
            name=request.name[:_MAX_LOGGED],
            ms=round(seconds * 1000, 3),
        )

    def reserve(self, size: int) -> None:
        """Count bytes of large bodies. Raises HttpError if there are too many."""
        if self._large_bytes + size > MAX_LARGE_BYTES:
            raise HttpError(503, f"{self._large_bytes} bytes of large bodies are in progress. Try again.")
        self._large_bytes += size


async def _reply(evaluation: Evaluation) -> Reply:
    """Return the answer. An unhandled exception is answered as well, under the uid of the request."""
    try:
        return await evaluation.answer()
    except Exception:
        log.exception("unhandled exception", uid=evaluation.request.uid)
        return evaluation.answer_failure(), Outcome.FAILED


class _Buffer:
    """Reads a body to its end. ``reserved`` are the bytes counted for it if it is large."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.reserved = 0

    async def read(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        """Return the body. One that is too large is refused by its announced length, or once it is too
        large."""
        announced = headers.get(b"content-length", b"")
        if announced.isdigit():
            _check_size(int(announced[:_MAX_DIGITS]))
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            whole: bytes = message.get("body", b"")
            self._grow_to(len(whole))
            return whole
        body = bytearray()
        while True:
            if message["type"] == "http.disconnect":
                raise _Disconnected
            body += message.get("body", b"")
            self._grow_to(len(body))
            if not message.get("more_body", False):
                return bytes(body)
            message = await receive()

    def _grow_to(self, size: int) -> None:
        _check_size(size)
        if size > LARGE_BYTES:
            self._app.reserve(size - self.reserved)
            self.reserved = size


def _check_size(size: int) -> None:
    if size > MAX_BODY_BYTES:
        raise HttpError(413, f"The body exceeds {MAX_BODY_BYTES} bytes. Send a smaller object.")


def _check_values(body: bytes) -> None:
    """Refuse a body with too many values, before they are decoded."""
    if sum(map(body.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise HttpError(413, f"The body has more than {MAX_VALUES} values. Send a smaller object.")

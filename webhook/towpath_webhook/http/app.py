"""The HTTP side: a bare ASGI application, no framework, about twice as fast as with one (facts B).

It answers POSTs of JSON on the paths of ``endpoints``, and GETs on ``/healthz`` and ``/readyz``. Whoever
sends anything else gets one line and the status code that says whose mistake it is, and the connection is
closed: its body may still be on the way. So does who comes while ``MOST`` requests are being received or
answered, so that memory has a limit: an apiserver takes that for no answer, and ``failurePolicy`` decides.

Each question leaves one line in the log, with its uid and never with the object.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, NamedTuple

import structlog

from towpath.errors import InvalidObject
from towpath_webhook.http.dispatch import Asked, Endpoint, Reply
from towpath_webhook.metrics import Answered, Metrics, Outcome

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODY_LIMIT = 3 << 20
"""Bytes of a question: an object as large as an apiserver stores, new and old, fits in."""
MOST = 100
"""Requests at a time. An apiserver's burst waits a moment, a flood does not eat up memory."""
HEALTH = ("/healthz", "/readyz")
_TEXT, _JSON = b"text/plain; charset=utf-8", b"application/json"
_SHOWN = 253
"""Characters of a name that are logged: as many as Kubernetes allows."""

log = structlog.get_logger()


class Answer(NamedTuple):
    """A response."""

    status: int
    body: bytes
    content_type: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Refused(Exception):
    """The request is not one that this server takes."""

    def __init__(self, status: int, reason: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(reason)
        self.answer = Answer(status, f"{reason}\n".encode(), _TEXT, (*headers, (b"connection", b"close")))


class _Gone(Exception):
    """The client hung up: nobody is there to answer."""


class App:
    """The application."""

    def __init__(self, endpoints: Mapping[str, Endpoint], metrics: Metrics) -> None:
        self._endpoints = endpoints
        self._metrics = metrics
        self._in_flight = 0
        self.ending = False
        """Whether it is told to stop: then it is not ready any more."""
        metrics.before_scrape(lambda: metrics.in_flight.set(self._in_flight))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        self._in_flight += 1
        try:
            answer = await self._answer(scope, receive)
        except _Gone:
            return
        except Refused as error:
            answer = error.answer
            self._metrics.rejected[str(answer.status)].inc()
            log.warning("refused", path=scope["path"][:_SHOWN], status=answer.status, reason=str(error))
        finally:
            self._in_flight -= 1
        length = str(len(answer.body)).encode()
        headers = [(b"content-type", answer.content_type), (b"content-length", length), *answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        path, method = scope["path"], scope["method"]
        if path in HEALTH:
            if method not in {"GET", "HEAD"}:
                raise Refused(405, f"{path} takes GET only", (b"allow", b"GET, HEAD"))
            return Answer(200, b"ok\n", _TEXT)
        endpoint = self._endpoints.get(path)
        if endpoint is None:
            raise Refused(404, "there is nothing at this path")
        if method != "POST":
            raise Refused(405, f"{path} takes POST only", (b"allow", b"POST"))
        if self._in_flight > MOST:
            raise Refused(503, f"more than {MOST} requests at a time")
        headers = dict(scope["headers"])
        sort = headers.get(b"content-type", b"")
        if sort != _JSON and sort.partition(b";")[0].strip().lower() != _JSON:
            raise Refused(415, "the body must be application/json")
        body = await _body(headers, receive)
        started = time.perf_counter()
        try:
            asked = endpoint(body)
        except InvalidObject as error:
            raise Refused(400, str(error)) from None
        reply, outcome = await _replied(asked)
        self._told(path, asked, outcome, time.perf_counter() - started)
        return Answer(200, reply, _JSON)

    def _told(self, path: str, asked: Asked, outcome: Outcome, seconds: float) -> None:
        self._metrics.answers[Answered(path, outcome)].inc()
        self._metrics.seconds[path].observe(seconds)
        one = asked.question
        log.info(
            outcome.value,
            path=path,
            uid=one.uid[:_SHOWN],
            operation=one.operation[:_SHOWN],
            kind=one.kind.kind[:_SHOWN],
            namespace=one.namespace[:_SHOWN],
            name=one.name[:_SHOWN],
            ms=round(seconds * 1000, 3),
        )


async def _replied(asked: Asked) -> Reply:
    """Answer a question. A bug of ours becomes an answer as well, under the question's uid."""
    try:
        return await asked.answer()
    except Exception:
        log.exception("a bug of ours", uid=asked.question.uid[:_SHOWN])
        return asked.failed(), Outcome.FAILED


async def _body(headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
    """Read the body to its end. Too large is told by its announced length, else as soon as it is."""
    announced = headers.get(b"content-length", b"")
    if announced.isdigit() and int(announced) > BODY_LIMIT:
        raise _too_large()
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        whole: bytes = message.get("body", b"")
        if len(whole) > BODY_LIMIT:
            raise _too_large()
        return whole
    body = bytearray()
    while True:
        if message["type"] == "http.disconnect":
            raise _Gone
        body += message.get("body", b"")
        if len(body) > BODY_LIMIT:
            raise _too_large()
        if not message.get("more_body", False):
            return bytes(body)
        message = await receive()


def _too_large() -> Refused:
    return Refused(413, f"the body has more than {BODY_LIMIT} bytes")

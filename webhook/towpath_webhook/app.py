"""The HTTP side: a bare ASGI application, no framework, about twice as fast as with one (facts B).

It answers POSTs of JSON on the paths of ``admission.RULES``, and GETs on ``/healthz`` and ``/readyz``.
Whoever sends anything else gets one line and the status code that says whose mistake it is, and the
connection is closed: its body may still be on the way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import structlog

from towpath.errors import InvalidObject
from towpath_webhook import admission

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODY_LIMIT = 3 << 20
"""Bytes of a question: an object as large as an apiserver stores, new and old, fits in."""
HEALTH = ("/healthz", "/readyz")
_TEXT, _JSON = b"text/plain; charset=utf-8", b"application/json"
_PATH_SHOWN = 80

log = structlog.get_logger()


@dataclass(frozen=True)
class Answer:
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


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request."""
    try:
        answer = await _answer(scope, receive)
    except _Gone:
        return
    except Refused as error:
        answer = error.answer
        log.warning("refused", path=scope["path"][:_PATH_SHOWN], status=answer.status, reason=str(error))
    except Exception:
        log.exception("a bug of ours", path=scope["path"][:_PATH_SHOWN])
        answer = Answer(500, b"internal error: the webhook's log has it\n", _TEXT)
    length = str(len(answer.body)).encode()
    headers = [(b"content-type", answer.content_type), (b"content-length", length), *answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _answer(scope: Scope, receive: Receive) -> Answer:
    path, method = scope["path"], scope["method"]
    if path in HEALTH:
        if method not in {"GET", "HEAD"}:
            raise Refused(405, f"{path} takes GET only", (b"allow", b"GET, HEAD"))
        return Answer(200, b"ok\n", _TEXT)
    rule = admission.RULES.get(path)
    if rule is None:
        raise Refused(404, "there is nothing at this path")
    if method != "POST":
        raise Refused(405, f"{path} takes POST only", (b"allow", b"POST"))
    headers = dict(scope["headers"])
    if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != _JSON:
        raise Refused(415, "the body must be application/json")
    body = await _body(headers, receive)
    try:
        return Answer(200, admission.answer(rule, body), _JSON)
    except InvalidObject as error:
        raise Refused(400, str(error)) from None


async def _body(headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
    """Read the body to its end. Too large is told by its announced length, else as soon as it is."""
    too_large = Refused(413, f"the body has more than {BODY_LIMIT} bytes")
    announced = headers.get(b"content-length", b"")
    if announced.isdigit() and int(announced) > BODY_LIMIT:
        raise too_large
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        body += message.get("body", b"")
        if len(body) > BODY_LIMIT:
            raise too_large
        if not message.get("more_body", False):
            return bytes(body)

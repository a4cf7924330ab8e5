"""The webhook's application, called as a server would call it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from towpath_webhook.http.access import Routes
from towpath_webhook.http.app import App
from towpath_webhook.http.dispatch import Endpoint, endpoints
from towpath_webhook.metrics import Metrics

_PIECE = 1_000_000


def application(answering: Mapping[str, Endpoint] | None = None, metrics: Metrics | None = None) -> App:
    by_path = endpoints(None) if answering is None else answering
    return App(Routes(by_path, by_path), metrics or Metrics())


async def post(app: App, path: str, body: bytes, **headers: str) -> tuple[int, bytes]:
    """Send one POST, in pieces, and return status and body."""
    sent: list[dict[str, Any]] = []
    pieces = [body[at : at + _PIECE] for at in range(0, len(body), _PIECE)] or [b""]
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages[-1]["more_body"] = False

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    given = {"content_type": "application/json; charset=utf-8", **headers}
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()]
    await app({"type": "http", "path": path, "method": "POST", "headers": pairs}, receive, send)
    start, end = sent
    assert dict(start["headers"])[b"content-length"] == str(len(end["body"])).encode()
    return start["status"], end["body"]

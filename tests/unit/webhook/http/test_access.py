"""Trusted callers: only a caller with the token or a client certificate reaches the plugin."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.fuzz.bodies import interpreted
from tests.support.reviews import EXPORT, question
from towpath_webhook.admission.hooks import INTERPRET, VALIDATE_EXPORTS
from towpath_webhook.admission.interpreter import InterpreterRequest
from towpath_webhook.admission.review import Request, Verdict
from towpath_webhook.http.access import Routes
from towpath_webhook.http.app import CLIENT_CERTIFICATE, App
from towpath_webhook.http.dispatch import endpoints
from towpath_webhook.metrics import Metrics

TOKEN, OTHER = "0a" * 16, "0b" * 16
SECRET = "of another tenant"


class Knowing:
    """A reviewer whose answers are for trusted callers only."""

    async def review(self, _: Request) -> Verdict:
        return Verdict(warnings=(SECRET,))

    async def status(self, _: InterpreterRequest) -> bytes:
        return json.dumps({"conditions": [{"message": SECRET}]}).encode()


async def asked(token: str | None, path: str, body: bytes, *, certificate: bool = False) -> tuple[int, str]:
    routes = Routes(endpoints(Knowing()), endpoints(None))
    if token is not None:
        routes.require_token(token)
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "path": path,
        "method": "POST",
        "headers": [(b"content-type", b"application/json")],
        "extensions": {CLIENT_CERTIFICATE: {}} if certificate else {},
    }
    await App(routes, Metrics())(scope, receive, send)
    start, end = sent
    return start["status"], end["body"].decode()


@pytest.mark.parametrize("path", [VALIDATE_EXPORTS, "/nothing"])
async def test_a_rejected_request_shows_no_token_in_the_log(path: str) -> None:
    with capture_logs() as lines:
        status, _ = await asked(TOKEN, f"/{TOKEN}{path}", b"no JSON")

    assert status >= 400
    assert [line["path"] for line in lines] == [f"/TOKEN{path}"]


QUESTIONS = [
    (VALIDATE_EXPORTS, question(EXPORT)),
    (INTERPRET, interpreted(EXPORT, "AggregateStatus", "u-1", [])),
]


def is_answered(body: str) -> bool:
    patch = json.loads(body)["response"].get("patch", "")
    return SECRET in body or SECRET in base64.b64decode(patch).decode()


@pytest.mark.parametrize(("path", "body"), QUESTIONS)
@pytest.mark.parametrize(
    ("required", "prefix", "certificate", "trusted"),
    [
        (TOKEN, f"/{TOKEN}", False, True),
        (TOKEN, "", False, False),
        (TOKEN, f"/{OTHER}", False, False),
        (TOKEN, "", True, True),
        (TOKEN, f"/{OTHER}", True, True),
        ("", "", False, False),
        ("", f"/{OTHER}", False, False),
        (None, "", False, True),
    ],
    ids=["token", "none", "other", "certificate", "both", "unregistered", "guess", "no registration to read"],
)
async def test_only_trusted_callers_see_other_objects(
    path: str, body: bytes, required: str | None, prefix: str, certificate: bool, trusted: bool
) -> None:
    status, answer = await asked(required, prefix + path, body, certificate=certificate)
    assert status == 200, "every caller is answered about the object itself"
    assert is_answered(answer) == trusted


@pytest.mark.parametrize("path", ["/", "/x", f"/{TOKEN}", f"/{TOKEN}/x", f"//{TOKEN}{VALIDATE_EXPORTS}"])
async def test_other_paths_do_not_exist_with_a_token_either(path: str) -> None:
    assert (await asked(TOKEN, path, question(EXPORT)))[0] == 404


async def test_a_token_is_no_part_of_what_is_logged_or_counted(capsys: pytest.CaptureFixture[str]) -> None:
    await asked(TOKEN, f"/{TOKEN}{VALIDATE_EXPORTS}", question(EXPORT))
    assert VALIDATE_EXPORTS in (output := capsys.readouterr().out)
    assert TOKEN not in output

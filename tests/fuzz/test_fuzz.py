"""Any bytes on any path: a well-formed answer under the right uid, or a 4xx. Never an unhandled exception.

A slice in every run of the suite, and ``make fuzz`` for 100 000 bodies. What once went wrong, or nearly did,
is kept in corpus/: the first line names the path, the rest is the body.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings

from tests.fuzz.bodies import BODIES, PATHS
from tests.support.asgi import application, post
from towpath.errors import InvalidObject
from towpath_webhook.admission import interpreter, review
from towpath_webhook.admission.hooks import INTERPRET
from towpath_webhook.plugin.client import to_review_request, to_status_request

EXAMPLES = int(os.environ.get("FUZZ_BODIES", "600"))
CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())
APP = application()


async def check(path: str, body: bytes) -> None:
    status, answered = await post(APP, path, body)
    assert (status, answered) == await post(APP, path, body), "a replay gets the same bytes"
    assert status in {200, 400}
    if status == 400:
        assert answered.count(b"\n") == 1
        return
    # Fields that are not read may hold any bytes.
    asked, answer = json.loads(body.decode(errors="replace"), strict=False), json.loads(answered)
    assert (answer["apiVersion"], answer["kind"]) == (asked["apiVersion"], asked["kind"])
    response = answer["response"]
    assert response["uid"] == asked["request"]["uid"]
    assert ("patch" in response) == ("patchType" in response)
    code = response.get("status", {}).get("code")
    assert code in {None, 403, 422}, answered
    if path == INTERPRET:
        assert response["successful"] == (code is None)
    else:
        assert response["allowed"] == (code is None)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
@given(path=PATHS, body=BODIES)
async def test_any_body_is_answered_or_gets_a_4xx(path: str, body: bytes) -> None:
    with structlog.testing.capture_logs():
        await check(path, body)
        forwarded(path, body)


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.name)
async def test_the_kept_corpus(file: Path) -> None:
    path, _, body = file.read_bytes().partition(b"\n")
    await check(path.decode(), body)
    forwarded(path.decode(), body)


def forwarded(path: str, body: bytes) -> None:
    """Encode it as a message of the contract: an object that can be decoded can be passed on."""
    try:
        asked: Any = (
            to_status_request(interpreter.decode(body))
            if path == INTERPRET
            else to_review_request(review.decode(body))
        )
    except InvalidObject:
        return
    assert asked.IsInitialized()

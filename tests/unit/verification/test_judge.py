"""What came of a call, from what the pod writes of it."""

from __future__ import annotations

import json

import pytest

from towpath.rules.reasons import CallReason
from towpath.verification.judge import is_verified, judge, not_made, result
from towpath.verification.plan import Call, Outcome, Pair

GET, TUNNEL = "GET 10.0.0.1:80 /web/", "CONNECT 10.0.0.1:80 web.shop.tunnel.towpath.io:6379"
NAME = "GET web.shop:80 /"


def outcome(target: str = GET, *, exporter: str = "a", is_plain: bool = False, **answer: object) -> Outcome:
    call = Call(Pair("shop/web", "c", exporter, 80), target, is_plain)
    log = json.dumps({"target": target, **answer}).encode()
    (found,) = judge([call], b"Python says something else\n" + log + b"\n{}\n")
    return found


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"status": 200}, None),
        ({"status": 404}, None),
        ({"status": 404, "is_plain": True}, CallReason.NOT_FOUND),
        ({"status": 404, "unserved": "no-route"}, CallReason.NO_ROUTE),
        ({"status": 503, "unserved": "UH"}, CallReason.NO_READY_POD),
        ({"status": 503, "unserved": "UF"}, CallReason.POD_NOT_REACHED),
        ({"status": 503}, CallReason.SERVER_ERROR),
        ({"error": "timed out"}, CallReason.NO_ANSWER),
        ({"target": TUNNEL, "status": 200}, None),
        ({"target": TUNNEL, "status": 404}, CallReason.NO_ROUTE),
        ({"target": NAME, "exporter": "any", "status": 404, "is_plain": True}, None),
        ({"target": NAME, "exporter": "any", "error": "unknown name"}, CallReason.NAME_NOT_ANSWERED),
    ],
)
def test_an_answer_counts_only_if_a_pod_gave_it(answer: dict[str, object], reason: CallReason | None) -> None:
    found = outcome(**answer)  # type: ignore[arg-type]

    assert found.reason is reason
    assert result(found) == ("Failed" if reason else "OK")
    assert (reason.text if reason else "") in found.text


def test_a_failure_names_address_and_cause() -> None:
    assert outcome(error="timed out").text.startswith("10.0.0.1:80/web/ (timed out): The gateway")


def test_a_call_that_the_pod_did_not_make_is_not_tried() -> None:
    (found,) = judge([Call(Pair("shop/web", "c", "a", 80), GET)], b"")
    assert (found.reason, result(found)) == (CallReason.POD_NOT_RUN, "NotTried")


def test_only_calls_that_were_answered_verify() -> None:
    answered = outcome(status=200)
    assert is_verified([answered])
    assert not is_verified([answered, outcome(error="timed out")])
    assert not is_verified([answered, *not_made([Call(answered.pair, GET)], CallReason.NO_NODE)])
    assert not is_verified([])

"""What came of the calls of one cluster, from what its pod has written; pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from towpath.rules.reasons import CallReason
from towpath.verification.plan import ANY_EXPORTER, Call, Outcome

_NO_ROUTE, _NO_READY_POD = "no-route", "UH"
_OK, _MULTIPLE, _NOT_FOUND, _SERVER_ERROR = 200, 300, 404, 500
_UNSERVED = {_NO_ROUTE: CallReason.NO_ROUTE, _NO_READY_POD: CallReason.NO_READY_POD}


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What the pod's program writes of one call. Without an answer ``status`` is 0."""

    target: str
    status: int = 0
    unserved: str = ""
    error: str = ""
    seconds: float = 0.0


def answers_in(log: bytes) -> dict[str, Answer]:
    """Read what a pod has written, by the target of each call. What is no answer is passed over."""
    found = {}
    for line in log.splitlines():
        try:
            answer = msgspec.json.decode(line, type=Answer)
        except (msgspec.DecodeError, ValueError):
            continue
        found[answer.target] = answer
    return found


def judge(calls: Iterable[Call], log: bytes) -> list[Outcome]:
    """Return what came of each call."""
    answers = answers_in(log)
    return [_outcome(call, answers.get(call.target)) for call in calls]


def not_made(calls: Iterable[Call], reason: CallReason, detail: str = "") -> list[Outcome]:
    """Return the outcome of calls that could not be made, and why: a ``detail`` stands before the text."""
    text = f"{detail.rstrip('. ')}: {reason.text}" if detail else reason.text
    return [Outcome(call.pair, reason, text, made=False) for call in calls]


def document(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome for programs."""
    pair = outcome.pair
    return {
        "service": pair.service,
        "from": pair.importer,
        "to": pair.exporter,
        "port": pair.port,
        "result": result(outcome),
        "reason": outcome.reason.value if outcome.reason else "",
        "text": outcome.text,
    }


def result(outcome: Outcome) -> str:
    """Return OK for a call that was answered, Failed, or NotTried where none could be made."""
    if outcome.reason is None:
        return "OK"
    return "Failed" if outcome.made else "NotTried"


def is_verified(outcomes: Iterable[Outcome]) -> bool:
    """Tell whether there was any call, and each was made and answered."""
    found = list(outcomes)
    return bool(found) and all(outcome.reason is None for outcome in found)


def _outcome(call: Call, answer: Answer | None) -> Outcome:
    if answer is None:
        (outcome,) = not_made([call], CallReason.POD_NOT_RUN, "The pod ended before it made the call")
        return outcome
    reason = _reason(call, answer)
    if reason is None:
        return Outcome(call.pair, text=f"{answer.status} in {answer.seconds * 1000:.0f} ms")
    detail = answer.error or f"{answer.status} {answer.unserved}".strip()
    method, place, rest = call.target.split(" ", 2)
    where = f"{place}{rest}" if method == "GET" else f"{rest} at {place}"
    return Outcome(call.pair, reason, f"{where} ({detail.rstrip('. ')}): {reason.text}")


def _reason(call: Call, answer: Answer) -> CallReason | None:
    by_name = call.pair.exporter == ANY_EXPORTER
    if not answer.status:
        return CallReason.NAME_NOT_ANSWERED if by_name else CallReason.NO_ANSWER
    if answer.unserved:
        return _UNSERVED.get(answer.unserved, CallReason.POD_NOT_REACHED)
    if call.target.startswith("CONNECT"):
        return None if _OK <= answer.status < _MULTIPLE else CallReason.NO_ROUTE
    if answer.status >= _SERVER_ERROR:
        return CallReason.SERVER_ERROR
    return CallReason.NOT_FOUND if answer.status == _NOT_FOUND and call.is_plain and not by_name else None

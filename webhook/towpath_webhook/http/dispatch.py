"""The endpoint of each path: decode the request, apply the rules, ask the plugin, encode the answer.

A request is decoded first, so that any later failure can be answered under its uid. Only requests of trusted
callers reach the plugin: its answers depend on the objects of all tenants."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import NamedTuple, Protocol

from towpath_webhook.admission import interpreter, probe, review
from towpath_webhook.admission.fields import Problem
from towpath_webhook.admission.hooks import INTERPRET
from towpath_webhook.admission.interpreter import AGGREGATE_STATUS, INTERPRET_HEALTH, InterpreterRequest
from towpath_webhook.admission.review import Code, Request, Verdict
from towpath_webhook.admission.rules import RULES, PathRule, merge_verdicts
from towpath_webhook.metrics import Outcome

PLUGIN_UNAVAILABLE = (
    "The Towpath plugin does not answer, so only the object itself was checked, not its effect on other "
    "clusters. Check that `towpath serve plugin` is running."
)
_UNSUPPORTED_OPERATION = (
    f"operation: The webhook supports only {AGGREGATE_STATUS} and {INTERPRET_HEALTH}. Register no other "
    "operation."
)
INTERNAL_ERROR = "Internal error of the Towpath webhook. Its log has the details under the uid {}."


class Reviewer(Protocol):
    """The plugin, which knows more than one object."""

    async def review(self, request: Request) -> Verdict | None:
        """Return the verdict on a change, None if the plugin does not answer."""

    async def status(self, request: InterpreterRequest) -> bytes | None:
        """Return the status that an export should have, None to leave it unchanged."""


AnyRequest = Request | InterpreterRequest
Reply = tuple[bytes, Outcome]


class Evaluation(NamedTuple):
    """A decoded request, how to answer it, and the answer if that fails."""

    request: AnyRequest
    answer: Callable[[], Awaitable[Reply]]
    answer_failure: Callable[[], bytes]


Endpoint = Callable[[bytes], Evaluation]
"""Decodes a body. Raises InvalidObject if it is malformed."""


def endpoints(reviewer: Reviewer | None) -> Mapping[str, Endpoint]:
    """Return the endpoint of each path. Without a reviewer only the object itself is checked."""
    by_path: dict[str, Endpoint] = {
        path: partial(_admission, path_rule, reviewer) for path, path_rule in RULES.items()
    }
    by_path[INTERPRET] = partial(_interpreter, reviewer)
    by_path[probe.PATH] = partial(_admission, PathRule(probe.answer_probe), None)
    return by_path


def _admission(path_rule: PathRule, reviewer: Reviewer | None, body: bytes) -> Evaluation:
    request = review.decode(body)
    answer = partial(_admit, path_rule, reviewer, request)
    return Evaluation(request, answer, partial(_failed_admission, request))


async def _admit(path_rule: PathRule, reviewer: Reviewer | None, request: Request) -> Reply:
    verdict = path_rule.rule(request)
    if verdict.problems:
        return review.encode(request, verdict), Outcome.REFUSED
    if path_rule.asks_plugin and reviewer is not None and not request.is_deleting:
        other = await reviewer.review(request)
        verdict = merge_verdicts(verdict, other or Verdict(warnings=(PLUGIN_UNAVAILABLE,)))
    return review.encode(request, verdict), Outcome.REFUSED if verdict.problems else Outcome.ALLOWED


def _failed_admission(request: Request) -> bytes:
    problem = Problem("", INTERNAL_ERROR.format(request.uid))
    return review.encode(request, Verdict(problems=(problem,), code=Code.INTERNAL))


def _interpreter(reviewer: Reviewer | None, body: bytes) -> Evaluation:
    request = interpreter.decode(body)
    failure = partial(interpreter.refusal, request, Code.INTERNAL, INTERNAL_ERROR.format(request.uid))
    return Evaluation(request, partial(_interpret, reviewer, request), failure)


async def _interpret(reviewer: Reviewer | None, request: InterpreterRequest) -> Reply:
    if request.operation == INTERPRET_HEALTH:
        return interpreter.with_health(request), Outcome.ANSWERED
    if request.operation == AGGREGATE_STATUS:
        status = None if reviewer is None else await reviewer.status(request)
        return interpreter.with_status(request, status), Outcome.ANSWERED
    return interpreter.refusal(request, Code.INVALID, _UNSUPPORTED_OPERATION), Outcome.REFUSED

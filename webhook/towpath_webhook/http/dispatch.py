"""What is answered on which path: decoded, put to the rules and the plugin, encoded.

A question is decoded first, so that whatever happens afterwards can be answered under its uid.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import NamedTuple, Protocol

from towpath_webhook.admission import interpreter, probe, review
from towpath_webhook.admission.fields import Problem
from towpath_webhook.admission.hooks import INTERPRET
from towpath_webhook.admission.interpreter import AGGREGATE_STATUS, INTERPRET_HEALTH, Context
from towpath_webhook.admission.review import Code, Request, Verdict
from towpath_webhook.admission.rules import RULES, Admission, together
from towpath_webhook.metrics import Outcome

SILENT = (
    "Towpath's plugin does not answer, so only the object itself was checked, not what it means for other "
    "clusters: see that `towpath serve plugin` runs"
)
_NOT_INTERPRETED = f"only {AGGREGATE_STATUS} and {INTERPRET_HEALTH} are answered here: register no others"
FAILED = "Towpath's webhook failed, its log says why under this uid: {}"


class Reviewer(Protocol):
    """Who knows more than one object: the plugin, or nobody."""

    async def review(self, request: Request) -> Verdict | None:
        """Return what is to be said of a change, None if nobody can say."""

    async def status(self, context: Context) -> bytes | None:
        """Return the status that an export should have, None for the one that it has."""


Question = Request | Context
Reply = tuple[bytes, Outcome]


class Asked(NamedTuple):
    """One question: what it is, how to answer it, and what to answer when that fails."""

    question: Question
    answer: Callable[[], Awaitable[Reply]]
    failed: Callable[[], bytes]


Endpoint = Callable[[bytes], Asked]
"""From a body to what it asks. Raises InvalidObject if it asks nothing."""


def endpoints(reviewer: Reviewer | None) -> Mapping[str, Endpoint]:
    """Return what is answered, by path. Without a reviewer the rules answer alone, and nobody is missed."""
    found: dict[str, Endpoint] = {path: partial(_admission, one, reviewer) for path, one in RULES.items()}
    found[INTERPRET] = partial(_interpreter, reviewer)
    found[probe.PATH] = partial(_admission, Admission(probe.answer), None)
    return found


def _admission(admission: Admission, reviewer: Reviewer | None, body: bytes) -> Asked:
    request = review.decode(body)
    return Asked(request, partial(_admit, admission, reviewer, request), partial(_failed_admission, request))


async def _admit(admission: Admission, reviewer: Reviewer | None, request: Request) -> Reply:
    verdict = admission.rule(request)
    if admission.asks and reviewer is not None and not request.goes:
        theirs = await reviewer.review(request)
        if theirs is not None:
            verdict = together(verdict, theirs)
        elif not verdict.problems:
            verdict = together(verdict, Verdict(warnings=(SILENT,)))
    outcome = Outcome.REFUSED if verdict.problems else Outcome.ALLOWED
    return review.encode(request, verdict), outcome


def _failed_admission(request: Request) -> bytes:
    problem = Problem("", FAILED.format(request.uid))
    return review.encode(request, Verdict(problems=(problem,), code=Code.INTERNAL))


def _interpreter(reviewer: Reviewer | None, body: bytes) -> Asked:
    context = interpreter.decode(body)
    failed = partial(interpreter.refusal, context, Code.INTERNAL, FAILED.format(context.uid))
    return Asked(context, partial(_interpret, reviewer, context), failed)


async def _interpret(reviewer: Reviewer | None, context: Context) -> Reply:
    if context.operation == INTERPRET_HEALTH:
        return interpreter.with_health(context), Outcome.ANSWERED
    if context.operation == AGGREGATE_STATUS:
        status = None if reviewer is None else await reviewer.status(context)
        return interpreter.with_status(context, status), Outcome.ANSWERED
    return interpreter.refusal(context, Code.INVALID, _NOT_INTERPRETED), Outcome.REFUSED

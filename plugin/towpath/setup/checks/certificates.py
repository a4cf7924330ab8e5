"""The dates of the webhook's CAs."""

from __future__ import annotations

from collections.abc import Iterator

from towpath.model.times import rfc3339
from towpath.setup.checks.evidence import Evidence, Level, Result

CHECK = "certificates"
_DAY_SECONDS = 24 * 3600
_WARNING_DAYS = 7


def check(evidence: Evidence) -> Iterator[Result]:
    """Yield whether the newest CA of the webhook is valid for some time."""
    if not evidence.authorities:
        return
    ends = max(end.timestamp() for end in evidence.authorities)
    left, subject = (ends - evidence.now) / _DAY_SECONDS, "CA of the webhook"
    fix = "Start `towpath serve webhook`, which renews it."
    if left <= 0:
        yield Result(CHECK, Level.FAIL, subject, f"It expired at {rfc3339(ends)}. {fix}")
    elif left < _WARNING_DAYS:
        yield Result(CHECK, Level.WARN, subject, f"It expires at {rfc3339(ends)}. {fix}")
    else:
        yield Result(CHECK, Level.OK, subject, f"Valid until {rfc3339(ends)}.")

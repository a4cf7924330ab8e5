"""What the webhook counts and times, declared as the plugin's metrics are."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from prometheus_client import Counter, Histogram

from towpath.serving.metric_families import Declaring, Family

QUICK = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
"""Seconds for one answer: most take less than one thousandth, and after three nobody waits any more."""


class Outcome(StrEnum):
    """How a request ended."""

    ALLOWED = "allowed"
    REFUSED = "refused"
    ANSWERED = "answered"
    FAILED = "failed"


class Call(StrEnum):
    """What the plugin is asked."""

    REVIEW = "ReviewAdmission"
    STATUS = "AggregateStatus"


class Answered(NamedTuple):
    """An answer to a question on one path."""

    path: str
    outcome: Outcome


class Metrics(Declaring):
    """All metrics of the webhook."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: Family[Answered, Counter] = self.counters(
            "towpath_webhook_answers_total",
            "Questions answered, by path; failed is a bug of ours, which the log tells.",
            *Answered._fields,
        )
        self.seconds: Family[str, Histogram] = Family(
            self.histogram(
                "towpath_webhook_answer_seconds",
                "From the last byte of a question to its answer.",
                QUICK,
                "path",
            )
        )
        self.rejected: Family[str, Counter] = self.counters(
            "towpath_webhook_rejected_total",
            "Requests that were no question, too large or too many, by HTTP status.",
            "status",
        )
        self.in_flight = self.gauge("towpath_webhook_in_flight", "Requests being received or answered.")
        self.plugin_seconds: Family[Call, Histogram] = Family(
            self.histogram(
                "towpath_webhook_plugin_call_seconds",
                "Calls to the plugin, whether or not it answered.",
                QUICK,
                "call",
            )
        )
        self.plugin_failures: Family[str, Counter] = self.counters(
            "towpath_webhook_plugin_failures_total",
            "Calls that the plugin did not answer, by gRPC status: the object alone was judged then.",
            "code",
        )
        for call in Call:
            self.plugin_seconds[call]
        for code in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
            self.plugin_failures[code].inc(0)  # without a 0 before it, Prometheus does not see the first
        self.of_process()

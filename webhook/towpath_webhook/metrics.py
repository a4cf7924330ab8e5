"""The metrics of the webhook, declared as those of the plugin are."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from prometheus_client import Counter, Histogram

from towpath.serving.metric_families import Family, Gauges, MetricSet

LATENCY_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
"""Buckets: most answers take less than a millisecond, and callers wait for three seconds at most."""


class Outcome(StrEnum):
    """The result of a request."""

    ALLOWED = "allowed"
    REFUSED = "refused"
    ANSWERED = "answered"
    FAILED = "failed"


class PluginCall(StrEnum):
    """The questions to the plugin."""

    REVIEW = "ReviewAdmission"
    STATUS = "AggregateStatus"


class AnswerLabels(NamedTuple):
    """An answer on a path."""

    path: str
    outcome: Outcome


class Metrics(MetricSet):
    """All metrics of the webhook."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: Family[AnswerLabels, Counter] = self.counters(
            "towpath_webhook_answers_total",
            "Requests answered, by path; failed means an unhandled exception, which is in the log.",
            *AnswerLabels._fields,
        )
        self.seconds: Family[str, Histogram] = Family(
            self.histogram(
                "towpath_webhook_answer_seconds",
                "Time from the last byte of a request to its answer.",
                LATENCY_SECONDS,
                "path",
            )
        )
        self.rejected: Family[str, Counter] = self.counters(
            "towpath_webhook_rejected_total",
            "Requests that were malformed, too large or too many, by HTTP status.",
            "status",
        )
        self.in_flight = self.gauge(
            "towpath_webhook_in_flight", "Requests that are being received or answered."
        )
        self.connections = self.gauge("towpath_webhook_connections", "Open connections.")
        self.connections_closed: Family[str, Counter] = self.counters(
            "towpath_webhook_connections_closed_total",
            "Connections that the webhook closed early, by reason: limit, evicted, handshake or deadline.",
            "reason",
        )
        self.plugin_seconds: Family[PluginCall, Histogram] = Family(
            self.histogram(
                "towpath_webhook_plugin_call_seconds",
                "Calls to the plugin, with or without an answer.",
                LATENCY_SECONDS,
                "call",
            )
        )
        self.plugin_failures: Family[str, Counter] = self.counters(
            "towpath_webhook_plugin_failures_total",
            "Calls that the plugin did not answer, by gRPC status; the object alone was checked then.",
            "code",
        )
        self.certificates: Gauges[str] = self.gauges(
            "towpath_webhook_certificate_expiry_timestamp_seconds",
            "Unix time at which a certificate of the webhook expires, serving or authority.",
            "certificate",
        )
        for call in PluginCall:
            self.plugin_seconds[call]
        for code in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
            self.plugin_failures[code].inc(0)  # Prometheus misses the first increment of a series without a 0
        self.describe_credentials()
        self.describe_process()

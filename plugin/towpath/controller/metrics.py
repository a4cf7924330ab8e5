"""The plugin's metrics, each declared here with its meaning.

The controller increments ``metrics.writes[WriteLabels("ServiceImport", Verb.APPLY)]``: mypy checks the
labels, and the lookup costs as much as that of a dict. ``make docs`` writes docs/metrics.md from these
declarations.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from prometheus_client import Counter, Histogram

from towpath.serving.metric_families import Family, Gauges, MetricSet

LATENCY_BUCKETS_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
"""From a change to the member that holds it: Karmada takes part of a second, a lost watch minutes."""
WORK_BUCKETS_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""For one service: most need no write, and a request times out after 30 seconds."""


class Verb(StrEnum):
    """What a write does.

    ``TOUCH`` makes Karmada process a template again, ``ADOPT`` gives a binding of a former template to the
    present one.
    """

    APPLY = "apply"
    DELETE = "delete"
    TOUCH = "touch"
    ADOPT = "adopt"
    STATUS = "status"
    EVENT = "event"


class Outcome(StrEnum):
    """How a reconcile ended."""

    DONE = "done"
    FAILED = "failed"


class Cause(StrEnum):
    """Why a watch was interrupted. The regular end of a watch is no interruption."""

    TOO_OLD = "too_old"
    NOT_SERVED = "not_served"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"


class Refusal(StrEnum):
    """Why the deletion guard kept an import."""

    TOO_MANY = "too_many"
    EMPTY_LIST = "empty_list"
    UNKNOWN_EXPORT = "unknown_export"


class ClusterState(StrEnum):
    """The state of a member."""

    READY = "ready"
    LOST = "lost"
    DRAINED = "drained"


class WriteLabels(NamedTuple):
    """A write to the Karmada apiserver."""

    kind: str
    verb: Verb


class FailedWriteLabels(NamedTuple):
    """A write that failed; ``error`` is the class of the error."""

    kind: str
    verb: Verb
    error: str


class RestartLabels(NamedTuple):
    """A watch that was interrupted."""

    kind: str
    cause: Cause


class ConditionLabels(NamedTuple):
    """A condition of a ServiceExport."""

    condition: str
    status: str


class Metrics(MetricSet):
    """All metrics of the plugin."""

    def __init__(self) -> None:
        super().__init__()
        self.export_to_member = self.histogram(
            "towpath_export_to_member_seconds",
            "Time from the change that made a view necessary until the members report that view.",
            LATENCY_BUCKETS_SECONDS,
        )
        self.withdrawal = self.histogram(
            "towpath_withdrawal_seconds",
            "Time from the change that removed an exporter until members report views without it.",
            LATENCY_BUCKETS_SECONDS,
        )
        self.writes: Family[WriteLabels, Counter] = self.counters(
            "towpath_writes_total",
            "Writes that the Karmada apiserver accepted. A touch makes Karmada process a template again.",
            *WriteLabels._fields,
        )
        self.write_failures: Family[FailedWriteLabels, Counter] = self.counters(
            "towpath_write_failures_total",
            "Writes that failed and are retried, by class of the error.",
            *FailedWriteLabels._fields,
        )
        self.reconciles: Family[Outcome, Histogram] = Family(
            self.histogram(
                "towpath_reconcile_seconds",
                "Time to derive one service and to write what differs, without the time in the queue.",
                WORK_BUCKETS_SECONDS,
                "outcome",
            )
        )
        self.queue_depth = self.gauge("towpath_queue_depth", "Services that wait to be reconciled.")
        self.queue_oldest = self.gauge(
            "towpath_queue_oldest_seconds", "Time for which the service that is due longest has been waiting."
        )
        self.watch_restarts: Family[RestartLabels, Counter] = self.counters(
            "towpath_watch_restarts_total",
            "Watches that were interrupted; too_old means that the kind was listed again.",
            *RestartLabels._fields,
        )
        self.guard_refusals: Family[Refusal, Counter] = self.counters(
            "towpath_guard_refusals_total",
            "Deletions of imports that the deletion guard withheld, by cause; each retry counts.",
            "cause",
        )
        self.guard_counted: Gauges[str] = self.gauges(
            "towpath_guard_withdrawals",
            "Imports that are withdrawn or should be, as the deletion guard counts them: for the five "
            "namespaces with most, and (other) for the rest.",
            "namespace",
        )
        self.exports: Gauges[ConditionLabels] = self.gauges(
            "towpath_exports",
            "ServiceExports by condition and status of the condition.",
            *ConditionLabels._fields,
        )
        self.left_out: Gauges[str] = self.gauges(
            "towpath_clusters_left_out",
            "Clusters that a ServiceExport reaches and that do not export, summed over all services, by "
            "reason (docs/reasons.md).",
            "reason",
        )
        self.clusters: Gauges[ClusterState] = self.gauges(
            "towpath_clusters", "Members by state; a drained member counts as drained only.", "state"
        )
        self.services_behind: Gauges[str] = self.gauges(
            "towpath_services_behind",
            "Services for which the member does not report the view that was derived for it.",
            "cluster",
        )
        self.traffic_queries: Family[str, Counter] = self.counters(
            "towpath_traffic_queries_total",
            "Queries for the requests between members, by outcome: Measured, or the reason why not "
            "(docs/reasons.md). Only a plugin with viewers asks.",
            "outcome",
        )
        self.leader = self.gauge("towpath_leader", "1 in the process that writes, 0 in standby processes.")
        for refusal in Refusal:
            # Prometheus counts from the first sample, so there must be one before the first refusal
            self.guard_refusals[refusal].inc(0)
        self.describe_credentials()
        self.describe_process()

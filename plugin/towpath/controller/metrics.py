"""The plugin's metrics, each declared here with its meaning.

The controller increments ``metrics.writes[WriteLabels("ServiceImport", Verb.APPLY)]``: mypy checks the
labels, and the lookup costs as much as that of a dict. ``make docs`` writes docs/metrics.md from these
declarations.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from prometheus_client import Counter, Histogram

from towpath.serving.metric_families import Declaring, Family, Gauges

LATENCY = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
"""Seconds from a change to the member that has it: Karmada takes part of one, a lost watch minutes."""
WORK = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Seconds for one service: most need no write, and a request is given up after 30."""


class Verb(StrEnum):
    """What a write does. ``TOUCH`` is the cure of a member that stays behind, ``ADOPT`` of a binding that
    belongs to a former template.
    """

    APPLY = "apply"
    DELETE = "delete"
    TOUCH = "touch"
    ADOPT = "adopt"
    STATUS = "status"
    EVENT = "event"


class Outcome(StrEnum):
    """How a reconciliation ended."""

    DONE = "done"
    FAILED = "failed"


class Cause(StrEnum):
    """Why a watch had to begin again. That the apiserver ends it in good order is none."""

    TOO_OLD = "too_old"
    NOT_SERVED = "not_served"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"


class Refusal(StrEnum):
    """Why the guard stopped a pass."""

    TOO_MANY = "too_many"
    EMPTY_LIST = "empty_list"
    UNKNOWN_EXPORT = "unknown_export"


class ClusterState(StrEnum):
    """What Karmada, and whoever drains, say of a member."""

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
    """A watch that had to begin again."""

    kind: str
    cause: Cause


class ConditionLabels(NamedTuple):
    """A condition that an export has."""

    condition: str
    status: str


class Metrics(Declaring):
    """All metrics of the plugin."""

    def __init__(self) -> None:
        super().__init__()
        self.export_to_member = self.histogram(
            "towpath_export_to_member_seconds",
            "From the change that made a view necessary to the member's report that it holds that view.",
            LATENCY,
        )
        self.withdrawal = self.histogram(
            "towpath_withdrawal_seconds",
            "From the change that took an exporter out of a view to the member's report that it is out.",
            LATENCY,
        )
        self.writes: Family[WriteLabels, Counter] = self.counters(
            "towpath_writes_total",
            "Writes that the Karmada apiserver accepted; touch is the cure of a member that stays behind.",
            *WriteLabels._fields,
        )
        self.write_failures: Family[FailedWriteLabels, Counter] = self.counters(
            "towpath_write_failures_total",
            "Writes that failed and are tried again, by class of the error.",
            *FailedWriteLabels._fields,
        )
        self.reconciles: Family[Outcome, Histogram] = Family(
            self.histogram(
                "towpath_reconcile_seconds",
                "Deriving one service and writing what differs, without the wait for its turn.",
                WORK,
                "outcome",
            )
        )
        self.queue_depth = self.gauge("towpath_queue_depth", "Services that are due and wait for their turn.")
        self.queue_oldest = self.gauge(
            "towpath_queue_oldest_seconds", "For how long the service that is due longest has been waiting."
        )
        self.watch_restarts: Family[RestartLabels, Counter] = self.counters(
            "towpath_watch_restarts_total",
            "Watches that had to begin again; too_old means that everything was listed anew.",
            *RestartLabels._fields,
        )
        self.guard_refusals: Family[Refusal, Counter] = self.counters(
            "towpath_guard_refusals_total",
            "Imports that stayed, each time they were looked at: too many would go, or a list was wrong.",
            "cause",
        )
        self.exports: Gauges[ConditionLabels] = self.gauges(
            "towpath_exports", "ServiceExports by condition and its status.", *ConditionLabels._fields
        )
        self.left_out: Gauges[str] = self.gauges(
            "towpath_clusters_left_out",
            "Clusters that a ServiceExport reaches and that do not export, summed over all services, by the "
            "reasons of docs/reasons.md.",
            "reason",
        )
        self.clusters: Gauges[ClusterState] = self.gauges(
            "towpath_clusters", "Members by state; one that is drained counts as drained only.", "state"
        )
        self.services_behind: Gauges[str] = self.gauges(
            "towpath_services_behind",
            "Services of which the member does not report the view that it should hold.",
            "cluster",
        )
        self.leader = self.gauge("towpath_leader", "1 in the process that writes, 0 in those that stand by.")
        for refusal in Refusal:
            self.guard_refusals[refusal].inc(0)  # without a 0 before it, Prometheus does not see the first
        self.of_process()

"""The agent's metrics, each declared here with its meaning."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from prometheus_client import Counter

from towpath.datapath.envoy import Kind
from towpath.net.traffic import ERRORS, REACHABLE, REQUESTS
from towpath.serving.metric_families import Family, Gauges, MetricSet

_WORK = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
MOST_PROBLEMS = 200
"""Series of metrics that name objects: a member with more broken ones shows the first of them."""


class WriteOutcome(StrEnum):
    """What became of a write to the member's apiserver."""

    DONE = "done"
    FAILED = "failed"


class ProblemLabels(NamedTuple):
    """Names an object with a problem, and the problem."""

    kind: str
    namespace: str
    name: str
    reason: str


class Refusal(NamedTuple):
    """Names a resource that Envoy rejects: its type and its name, which has those of the Service."""

    type: str
    resource: str


class Metrics(MetricSet):
    """All of them."""

    def __init__(self) -> None:
        super().__init__()
        self.describe_process()
        self.declared += (REQUESTS, ERRORS, REACHABLE)
        self.resources: Gauges[str] = self.gauges(
            "towpath_net_resources", "Resources that Envoy has been given, by type.", "type"
        )
        self.connections = self.gauge("towpath_net_envoy_connections", "Envoys that are connected.")
        self.rejections: Family[str, Counter] = self.counters(
            "towpath_net_rejections_total", "Updates that Envoy rejected, by type.", "type"
        )
        self.rejected: Gauges[Refusal] = self.gauges(
            "towpath_net_rejected_resources",
            "Always 1: a resource that Envoy rejects. It keeps its last good state, if it has one.",
            *Refusal._fields,
        )
        self.unencodable: Family[str, Counter] = self.counters(
            "towpath_net_unencodable_total", "Resources left out because they cannot be encoded.", "type"
        )
        for kind in Kind:  # Prometheus misses the first increment of a series without a 0
            self.rejections[kind.name].inc(0)
            self.unencodable[kind.name].inc(0)
        self.problems: Gauges[ProblemLabels] = self.gauges(
            "towpath_net_problems",
            "Always 1: an object that has no effect, or only a part of it.",
            *ProblemLabels._fields,
        )
        self.ignored: Family[str, Counter] = self.counters(
            "towpath_net_ignored_objects_total",
            "Versions of objects that cannot be read: the last good one stays in force.",
            "kind",
        )
        self.writes: Family[tuple[str, str], Counter] = self.counters(
            "towpath_net_writes_total", "Writes to the member's apiserver.", "kind", "outcome"
        )
        self.derivation = self.histogram(
            "towpath_net_derivation_seconds", "Time to work out what has to be.", _WORK
        )
        self.push = self.histogram(
            "towpath_net_push_seconds", "Time until Envoy has answered to all of a change.", _WORK
        )

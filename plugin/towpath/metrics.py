"""What the plugin counts and times: every metric is declared here, with its meaning.

``Metrics()`` has its own registry, so two of them never mix. Controller code holds one and says
``metrics.writes[Write("ServiceImport", Verb.APPLY)].inc()``: what stands in brackets is checked by mypy, and
the look-up is that of a dict. What is true at a moment and not counted (how many exports are valid) need not
be kept up to date: ``before_scrape`` takes a function that sets it when somebody looks, and ``replace`` drops
the series that are no longer true.

The page docs/metrics.md is made from this module: ``python -m towpath.metrics`` prints it.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics import MetricWrapperBase

from towpath import __version__

# A second series for every one, which nobody reads.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

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


class Write(NamedTuple):
    """A write to the Karmada apiserver."""

    kind: str
    verb: Verb


class FailedWrite(NamedTuple):
    """A write that failed; ``error`` is the class of the error."""

    kind: str
    verb: Verb
    error: str


class Restart(NamedTuple):
    """A watch that had to begin again."""

    kind: str
    cause: Cause


class Stated(NamedTuple):
    """A condition that an export has."""

    condition: str
    status: str


M = TypeVar("M", bound=MetricWrapperBase)
K = TypeVar("K", bound=str | tuple[str, ...])


class Family(Generic[K, M]):
    """A metric with labels: ``family[labels]`` is the one with these, made when first asked for."""

    def __init__(self, metric: M) -> None:
        self._metric = metric
        self._children: dict[K, M] = {}

    def __getitem__(self, labels: K) -> M:
        child = self._children.get(labels)
        if child is None:
            child = self._children[labels] = self._metric.labels(*_values(labels))
        return child

    def __delitem__(self, labels: K) -> None:
        del self._children[labels]
        self._metric.remove(*_values(labels))

    def __iter__(self) -> Iterator[K]:
        return iter(tuple(self._children))


class Gauges(Family[K, Gauge]):
    """Gauges with labels, of which some cease to be."""

    def replace(self, values: Mapping[K, float]) -> None:
        """Set these and drop all others."""
        for labels in self:
            if labels not in values:
                del self[labels]
        for labels, value in values.items():
            self[labels].set(value)


class Declared(NamedTuple):
    """A metric as the page tells of it."""

    name: str
    type: str
    labels: tuple[str, ...]
    meaning: str


class Declaring:
    """The metrics of one process, each declared with its meaning."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.declared: list[Declared] = []
        self._before: list[Callable[[], None]] = []

    def before_scrape(self, refresh: Callable[[], None]) -> None:
        """Have a function called whenever somebody looks, to set what is not kept up to date."""
        self._before.append(refresh)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """Return all metrics in the format that an Accept header asks for, and the type of that format."""
        for refresh in self._before:
            refresh()
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def counters(self, name: str, meaning: str, *labels: str) -> Family[K, Counter]:
        """Declare counters with labels."""
        self.declared.append(Declared(name, "counter", labels, meaning))
        return Family(Counter(name, meaning, labels, registry=self.registry))

    def gauge(self, name: str, meaning: str) -> Gauge:
        """Declare a gauge."""
        self.declared.append(Declared(name, "gauge", (), meaning))
        return Gauge(name, meaning, registry=self.registry)

    def gauges(self, name: str, meaning: str, *labels: str) -> Gauges[K]:
        """Declare gauges with labels."""
        self.declared.append(Declared(name, "gauge", labels, meaning))
        return Gauges(Gauge(name, meaning, labels, registry=self.registry))

    def histogram(self, name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        """Declare a histogram."""
        self.declared.append(Declared(name, "histogram", labels, meaning))
        return Histogram(name, meaning, labels, buckets=buckets, registry=self.registry)

    def of_process(self) -> None:
        """Declare what every process tells: what runs, and what it takes."""
        build: Gauges[tuple[str, str]] = self.gauges(
            "towpath_build_info", "Always 1; the labels say what runs.", "version", "python"
        )
        build[__version__, platform.python_version()].set(1)
        ProcessCollector(registry=self.registry)


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
        self.writes: Family[Write, Counter] = self.counters(
            "towpath_writes_total",
            "Writes that the Karmada apiserver accepted; touch is the cure of a member that stays behind.",
            *Write._fields,
        )
        self.write_failures: Family[FailedWrite, Counter] = self.counters(
            "towpath_write_failures_total",
            "Writes that failed and are tried again, by class of the error.",
            *FailedWrite._fields,
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
        self.watch_restarts: Family[Restart, Counter] = self.counters(
            "towpath_watch_restarts_total",
            "Watches that had to begin again; too_old means that everything was listed anew.",
            *Restart._fields,
        )
        self.guard_refusals: Family[Refusal, Counter] = self.counters(
            "towpath_guard_refusals_total",
            "Imports that stayed, each time they were looked at: too many would go, or a list was wrong.",
            "cause",
        )
        self.exports: Gauges[Stated] = self.gauges(
            "towpath_exports", "ServiceExports by condition and its status.", *Stated._fields
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


def _values(labels: str | tuple[str, ...]) -> tuple[str, ...]:
    return (labels,) if isinstance(labels, str) else labels


def page() -> str:
    """Return the page in Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    from towpath_webhook.metrics import Metrics as MetricsOfWebhook

    yield "# Metrics"
    yield ""
    yield "What plugin and webhook tell Prometheus at `/metrics`, beside the usual `process_*` of a process."
    yield "Made from the modules that declare them by `make docs`."
    for title, declared in (("plugin", Metrics().declared), ("webhook", MetricsOfWebhook().declared)):
        yield from (
            "",
            f"## Of the {title}",
            "",
            "| metric | type | labels | meaning |",
            "| --- | --- | --- | --- |",
        )
        for one in declared:
            labels = ", ".join(f"`{label}`" for label in one.labels)
            yield f"| `{one.name}` | {one.type} | {labels} | {one.meaning} |"


if __name__ == "__main__":
    sys.stdout.write(page())

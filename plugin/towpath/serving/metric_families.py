"""Metric families: each metric is declared once, with its meaning, and addressed by typed labels.

``MetricSet`` has a registry of its own, so two sets never mix. A value that describes the present moment is
not stored: ``Gauges.read_from`` registers the function that returns it, and each scrape calls that function.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, NamedTuple, TypeVar

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from towpath import __version__
from towpath.serving.log_writer import LogWriter

# The *_created series double the size of the output, and nothing reads them.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

M = TypeVar("M", bound=MetricWrapperBase)
K = TypeVar("K", bound=str | tuple[str, ...])


class Family(Generic[K, M]):
    """A metric with labels: ``family[labels]`` is the series with these labels, created on first use."""

    def __init__(self, metric: M) -> None:
        self._metric = metric
        self._children: dict[K, M] = {}

    def __getitem__(self, labels: K) -> M:
        child = self._children.get(labels)
        if child is None:
            child = self._children[labels] = self._metric.labels(*_values(labels))
        return child


class Gauges(Collector, Generic[K]):
    """A gauge with labels whose series are computed at each scrape."""

    def __init__(self, name: str, meaning: str, labels: tuple[str, ...]) -> None:
        self._name, self._meaning, self._labels = name, meaning, labels
        self._read: Callable[[], Mapping[K, float]] = dict

    def read_from(self, read: Callable[[], Mapping[K, float]]) -> None:
        """Set the function that returns the present value of each series."""
        self._read = read

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the series of this moment."""
        family = GaugeMetricFamily(self._name, self._meaning, labels=self._labels)
        for labels, value in self._read().items():
            family.add_metric(_values(labels), value)
        yield family

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Yield the family without series: registration must not call the function."""
        yield GaugeMetricFamily(self._name, self._meaning, labels=self._labels)


class _DroppedLines(Collector):
    """The counter of the log, which exists once in a process."""

    def __init__(self, name: str, meaning: str) -> None:
        self._name, self._meaning = name, meaning

    def collect(self) -> Iterator[CounterMetricFamily]:
        yield CounterMetricFamily(self._name, self._meaning, LogWriter.dropped)


class Declared(NamedTuple):
    """A metric as docs/metrics.md lists it."""

    name: str
    type: str
    labels: tuple[str, ...]
    meaning: str


class MetricSet:
    """The metrics of one process, each declared with its meaning."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.declared: list[Declared] = []

    def counters(self, name: str, meaning: str, *labels: str) -> Family[K, Counter]:
        """Declare counters with labels."""
        self.declared.append(Declared(name, "counter", labels, meaning))
        return Family(Counter(name, meaning, labels, registry=self.registry))

    def counter(self, name: str, meaning: str) -> Counter:
        """Declare a counter."""
        self.declared.append(Declared(name, "counter", (), meaning))
        return Counter(name, meaning, registry=self.registry)

    def gauge(self, name: str, meaning: str) -> Gauge:
        """Declare a gauge; its ``set_function`` makes it one that is read at each scrape."""
        self.declared.append(Declared(name, "gauge", (), meaning))
        return Gauge(name, meaning, registry=self.registry)

    def gauges(self, name: str, meaning: str, *labels: str) -> Gauges[K]:
        """Declare a gauge with labels, read at each scrape."""
        self.declared.append(Declared(name, "gauge", labels, meaning))
        gauges: Gauges[K] = Gauges(name, meaning, labels)
        self.registry.register(gauges)
        return gauges

    def histogram(self, name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        """Declare a histogram."""
        self.declared.append(Declared(name, "histogram", labels, meaning))
        return Histogram(name, meaning, labels, buckets=buckets, registry=self.registry)

    def describe_credentials(self) -> None:
        """Declare when the credentials of a process end; ``report_credentials`` says it."""
        self._credentials: Gauges[tuple[()]] = self.gauges(
            "towpath_credentials_expiry_timestamp_seconds",
            "Unix time at which the credentials for the Karmada apiserver expire.",
        )

    def report_credentials(self, expires: Callable[[], float | None]) -> None:
        """Report the time that the function returns; a time that is not known is left out."""

        def read() -> Mapping[tuple[()], float]:
            at = expires()
            return {} if at is None else {(): at}

        self._credentials.read_from(read)

    def describe_process(self) -> None:
        """Declare what every process reports: its version, and the resources that it uses."""
        build: Gauges[tuple[str, str]] = self.gauges(
            "towpath_build_info",
            "Always 1; the labels give the versions of Towpath and of Python.",
            "version",
            "python",
        )
        build.read_from(lambda: {(__version__, platform.python_version()): 1})
        name, meaning = (
            "towpath_log_lines_dropped_total",
            "Log lines that could not be written and were dropped.",
        )
        self.declared.append(Declared(name, "counter", (), meaning))
        self.registry.register(_DroppedLines(name, meaning))
        ProcessCollector(registry=self.registry)


def _values(labels: str | tuple[str, ...]) -> tuple[str, ...]:
    return (labels,) if isinstance(labels, str) else labels

"""Metric families: each metric is declared once, with its meaning, and read by typed labels.

``Declaring`` has its own registry, so two of them never mix. A metric that describes a moment instead of a
count is set by a function that ``before_scrape`` registers, and ``replace`` drops the series that no
longer apply.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, NamedTuple, TypeVar

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics import MetricWrapperBase

from towpath import __version__

# The *_created series double the size of the output, and nothing reads them.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

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


def _values(labels: str | tuple[str, ...]) -> tuple[str, ...]:
    return (labels,) if isinstance(labels, str) else labels

"""What travels, by service and exporting cluster: Envoy's own statistics under the names of services.

They are fetched from the admin socket of Envoy every few seconds. There is one series for each
imported port and exporting cluster, and one for each exported port, however many pods it has.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import aiohttp
import msgspec
import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from towpath.datapath.world import ServiceName
from towpath.serving.metric_families import Declared
from towpath.traffic.flow import ERRORS_TOTAL, REQUESTS_TOTAL, Flow

log = structlog.get_logger()

PERIOD_SECONDS = 5.0
_PATIENCE = aiohttp.ClientTimeout(total=2.0)


REQUESTS = Declared(
    REQUESTS_TOTAL,
    "counter",
    Flow._fields,
    "Requests that Envoy has sent to an exporting cluster (egress) or to pods (ingress).",
)
ERRORS = Declared(
    ERRORS_TOTAL,
    "counter",
    Flow._fields,
    "Requests without an answer, or with a 5xx.",
)
REACHABLE = Declared(
    "towpath_net_gateway_reachable",
    "gauge",
    Flow._fields,
    "1 while Envoy sends requests to the gateway of an exporting cluster, 0 while it is put aside.",
)


class _Locality(msgspec.Struct):
    region: str = ""
    zone: str = ""
    sub_zone: str = ""


class _Stat(msgspec.Struct):
    name: str
    value: str = "0"


class _Health(msgspec.Struct):
    failed_active_health_check: bool = False
    failed_outlier_check: bool = False


class _Host(msgspec.Struct):
    stats: list[_Stat] = []
    health_status: _Health = msgspec.field(default_factory=_Health)
    locality: _Locality = msgspec.field(default_factory=_Locality)

    def count(self, name: str) -> int:
        return next((int(stat.value) for stat in self.stats if stat.name == name), 0)


class _Cluster(msgspec.Struct):
    name: str
    host_statuses: list[_Host] = []


class _Clusters(msgspec.Struct):
    cluster_statuses: list[_Cluster] = []


_decode = msgspec.json.Decoder(_Clusters).decode


class Traffic(Collector):
    """The latest statistics, as a collector of the metrics."""

    def __init__(self, admin: Path) -> None:
        self._admin = admin
        self._counts: Mapping[Flow, tuple[int, int]] = {}
        """Requests and errors. Envoy tells much more, for each host."""
        self._reachable: Mapping[Flow, bool] = {}
        self.unanswered: Mapping[ServiceName, frozenset[str]] | None = None
        """The clusters behind each imported Service whose gateway fails health checks; None at first."""

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families."""
        requests, errors = (
            CounterMetricFamily(family.name, family.meaning, labels=family.labels)
            for family in (REQUESTS, ERRORS)
        )
        reachable = GaugeMetricFamily(REACHABLE.name, REACHABLE.meaning, labels=REACHABLE.labels)
        for flow, (asked, failed) in self._counts.items():
            requests.add_metric(flow, asked)
            errors.add_metric(flow, failed)
        for flow, is_reachable in self._reachable.items():
            reachable.add_metric(flow, float(is_reachable))
        yield from (requests, errors, reachable)

    async def run(self) -> None:
        """Fetch until cancelled. Without an Envoy the last statistics stay."""
        connector = aiohttp.UnixConnector(path=str(self._admin))
        async with aiohttp.ClientSession(connector=connector, timeout=_PATIENCE) as session:
            while True:
                try:
                    async with session.get("http://envoy/clusters?format=json") as answer:
                        self.take(await answer.read())
                except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError):
                    log.debug("no statistics of Envoy")
                await asyncio.sleep(PERIOD_SECONDS)

    def take(self, raw: bytes) -> None:
        """Take in what Envoy tells of its clusters."""
        counts: dict[Flow, tuple[int, int]] = {}
        reachable: dict[Flow, bool] = {}
        unanswered: dict[ServiceName, set[str]] = defaultdict(set)
        for cluster in _decode(raw).cluster_statuses:
            for host in cluster.host_statuses:
                flow = _flow(cluster.name, host.locality)
                if flow is None:
                    continue
                asked, failed = counts.get(flow, (0, 0))
                counts[flow] = (asked + host.count("rq_total"), failed + host.count("rq_error"))
                if flow.cluster:
                    health = host.health_status
                    reachable[flow] = not (health.failed_active_health_check or health.failed_outlier_check)
                    # A gateway that answers for pods which are not ready is put aside as well.
                    if health.failed_active_health_check:
                        unanswered[ServiceName(flow.namespace, flow.service)].add(flow.cluster)
        self._counts, self._reachable = counts, reachable
        self.unanswered = {name: frozenset(keys) for name, keys in unanswered.items()}


def _flow(name: str, locality: _Locality) -> Flow | None:
    """Return what travels through a cluster of Envoy: ``egress/NAMESPACE/NAME:PORT`` or ``ingress/...``."""
    direction, _, rest = name.partition("/")
    namespace, _, rest = rest.partition("/")
    service, _, port = rest.partition("/")[0].rpartition(":")
    if not service:
        return None
    key = "/".join(part for part in (locality.region, locality.zone, locality.sub_zone) if part)
    return Flow(direction, namespace, service, port, key)

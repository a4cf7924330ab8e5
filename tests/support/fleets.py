"""A plugin's stream made up: a cluster set as messages of the contract, and what explains its services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count

from towpath.errors import NotFound, Unreachable
from towpath.page.fleet import ServiceId
from towpath.proto.v1alpha1 import inventory_pb2 as pb
from towpath.proto.v1alpha1.service_pb2 import (
    Cluster,
    Condition,
    Endpoint,
    Explanation,
    Exporter,
    Importer,
    Link,
    Port,
)

DIALECT = "multicluster.flomesh.io"
_revisions = count(1)


def cluster(name: str, **other: object) -> Cluster:
    """Return a member that is well, but for ``other``."""
    usual = {
        "cluster_key": f"default/default/default/{name}",
        "gateway_host": f"{name}.example.com",
        "gateway_port": 80,
        "gateway_ip": f"10.0.0.{sum(map(ord, name)) % 250}",
        "gateway_source": "annotation",
        "dialects": [DIALECT],
        "state": "Ready",
    }
    return Cluster(name=name, **{**usual, **other})  # type: ignore[arg-type]


def broken(step: str = "Service", reason: str = "ServiceNotFound", text: str = "", where: str = "") -> Link:
    """Return a link that is broken."""
    return Link(step=step, subject="Service", state="Broken", cluster=where, reason=reason, text=text)


def service(
    name: str,
    exporters: list[str],
    importing: list[str],
    *,
    namespace: str = "shop",
    state: str = "OK",
    first: Link | None = None,
    behind: list[str] | None = None,
    conditions: list[Condition] | None = None,
) -> pb.FleetService:
    """Return a service, with a revision of its own."""
    lacking = behind or []
    summary = pb.ServiceSummary(
        namespace=namespace,
        name=name,
        dialect=DIALECT,
        exporters=exporters,
        importers=len(importing),
        in_place=len(importing) - len(lacking),
        state=state,
        first=first,
        conditions=conditions or [],
    )
    return pb.FleetService(summary=summary, importing=importing, behind=lacking, revision=next(_revisions))


def requests(importer: str, exporter: str, rate: float, errors: float | None = 0.0) -> pb.Traffic:
    """Return the requests from one member to another."""
    made = pb.Traffic(importer=importer, exporter=exporter, requests_per_second=rate)
    if errors is not None:
        made.errors_per_second = errors
    return made


def measured(*traffic: pb.Traffic, at: str = "2026-11-30T08:00:00Z") -> pb.WatchFleetResponse:
    """Return what a plugin tells that has measured traffic."""
    return pb.WatchFleetResponse(traffic=traffic, traffic_measurement=pb.TrafficMeasurement(measured_at=at))


class Plugin:
    """A plugin that says what it is told to. ``watches`` counts its streams, ``asked`` holds the chains."""

    def __init__(self, *parts: pb.WatchFleetResponse) -> None:
        self.clusters: dict[str, Cluster] = {}
        self.services: dict[ServiceId, pb.FleetService] = {}
        self.traffic: dict[tuple[str, str], pb.Traffic] = {}
        self.measurement: pb.TrafficMeasurement | None = None
        self.watches = self.refused = 0
        self.asked: list[ServiceId] = []
        self.is_up = True
        self._changed = asyncio.Event()
        self._told: list[pb.WatchFleetResponse] = []
        for part in parts:
            self.tell(part)

    def tell(self, part: pb.WatchFleetResponse) -> None:
        """Let the watchers hear of a change."""
        self.clusters |= {c.name: c for c in part.clusters}
        self.services |= {
            ServiceId(s.summary.namespace, s.summary.name, s.summary.dialect): s for s in part.services
        }
        for name in part.gone_clusters:
            del self.clusters[name]
        for gone in part.gone_services:
            del self.services[ServiceId(gone.namespace, gone.name, gone.dialect)]
        self.traffic |= {(t.importer, t.exporter): t for t in part.traffic}
        for pair in part.gone_traffic:
            del self.traffic[pair.importer, pair.exporter]
        if part.HasField("traffic_measurement"):
            self.measurement = part.traffic_measurement
        part.complete = True
        self._told.append(part)
        self._wake()

    def put(self, *services: pb.FleetService) -> None:
        """Let the watchers hear of services that are new or have changed."""
        self.tell(pb.WatchFleetResponse(services=services))

    def stop(self) -> None:
        """End every stream, and answer nothing."""
        self.is_up = False
        self._wake()

    def start(self) -> None:
        """Answer again."""
        self.is_up = True

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def watch(self) -> AsyncIterator[pb.WatchFleetResponse]:
        """Yield everything, and then what is told."""
        if not self.is_up:
            self.refused += 1
            raise Unreachable("No plugin serves here: Connection refused")
        self.watches += 1
        place = len(self._told)
        yield pb.WatchFleetResponse(clusters=[*self.clusters.values()])
        yield pb.WatchFleetResponse(
            services=[*self.services.values()],
            traffic=[*self.traffic.values()],
            traffic_measurement=self.measurement,
            complete=True,
        )
        while True:
            changed = self._changed
            while place < len(self._told):
                place += 1
                yield self._told[place - 1]
            if not self.is_up:
                raise Unreachable("The plugin is shutting down. Try again.")
            await changed.wait()

    async def explain(self, asked: ServiceId) -> Explanation:
        """Return a chain that fits the service."""
        self.asked.append(asked)
        await asyncio.sleep(0)
        if not self.is_up:
            raise Unreachable("No plugin serves here: Connection refused")
        found = next((s for key, s in self.services.items() if key[:2] == asked[:2]), None)
        if found is None:
            raise NotFound(f"ServiceExport {asked.namespace}/{asked.name} does not exist.", 404)
        return explanation(found, self.clusters)


def explanation(of: pb.FleetService, clusters: dict[str, Cluster]) -> Explanation:
    """Return the explanation of a service, each step with a link."""
    summary, exporters = of.summary, list(of.summary.exporters)
    place, first = f"{summary.namespace}/{summary.name}", summary.first
    chain = [
        Link(step="Export", subject=f"ServiceExport {place}", state="OK", since="2026-11-29T08:00:00Z"),
        Link(step="Service", subject=f"Service {place}", state="OK"),
        *(Link(step="Exporting", subject="exports the service", state="OK", cluster=c) for c in exporters),
        *(Link(step="Importing", subject="imports the service", state="OK", cluster=c) for c in of.importing),
        Link(step="Import", subject=f"ServiceImport {place}", state="OK", since="2026-11-29T08:00:01Z"),
        Link(
            step="Policy",
            subject=f"PropagationPolicy {summary.namespace}/towpath-import-{summary.name}",
            state="OK",
        ),
        Link(step="Binding", subject=f"ResourceBinding {place}-serviceimport", state="OK"),
    ]
    applied = "Karmada has applied the import"
    chain.extend(Link(step="Work", subject=applied, state="OK", cluster=name) for name in of.importing)
    for name in of.importing:
        state = "Pending" if name in of.behind else "OK"
        subject = "the cluster lacks its import" if name in of.behind else "the cluster has its import"
        chain.append(Link(step="Member", subject=subject, state=state, cluster=name))
    made = Explanation(
        namespace=summary.namespace,
        name=summary.name,
        dialect=summary.dialect,
        state=summary.state,
        conditions=summary.conditions,
        exporters=[
            Exporter(cluster=c, cluster_key=f"default/default/default/{c}", lost_since=clusters[c].lost_since)
            for c in exporters
            if c in clusters
        ],
    )
    endpoints = [
        Endpoint(cluster_key=f"default/default/default/{c}", ip="10.0.0.1", port=80, path=f"/{summary.name}")
        for c in exporters
    ]
    ports = [Port(port=8080, protocol="TCP", endpoints=endpoints)]
    made.importers.extend(Importer(cluster=name, state="InPlace", ports=ports) for name in of.importing)
    if summary.HasField("first"):
        made.first.CopyFrom(first)
        places = [number for number, link in enumerate(chain) if link.step == first.step]
        kept = [link for link in chain if (link.step, link.cluster) != (first.step, first.cluster)]
        chain = [*kept[: places[0] if places else 0], first, *kept[places[0] if places else 0 :]]
    made.chain.extend(chain)
    return made

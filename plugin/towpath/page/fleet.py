"""The cluster set as the plugin's stream tells it: a fold over its responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from towpath.page.traffic import NOTHING, Carried, carried_after
from towpath.proto.v1alpha1.inventory_pb2 import (
    FleetService,
    ServiceName,
    ServiceSummary,
    TrafficMeasurement,
    WatchFleetResponse,
)
from towpath.proto.v1alpha1.service_pb2 import Cluster

NONE: Mapping[str, Cluster] = {}


class ServiceId(NamedTuple):
    """Names an exported service."""

    namespace: str
    name: str
    dialect: str


class Fleet(NamedTuple):
    """Members by name, exported services, and the requests between members. Messages in it are never changed.

    ``measurement`` is None for a plugin that does not report traffic.
    """

    clusters: Mapping[str, Cluster] = NONE
    services: Mapping[ServiceId, FleetService] = {}
    carried: Carried = NOTHING
    measurement: TrafficMeasurement | None = None


def after(fleet: Fleet, part: WatchFleetResponse) -> Fleet:
    """Return the cluster set after a response of the stream."""
    clusters, services = dict(fleet.clusters), dict(fleet.services)
    clusters |= {cluster.name: cluster for cluster in part.clusters}
    services |= {_id(service.summary): service for service in part.services}
    for name in part.gone_clusters:
        clusters.pop(name, None)
    for gone in part.gone_services:
        services.pop(_id(gone), None)
    is_measured = part.HasField("traffic_measurement")
    measurement = part.traffic_measurement if is_measured else fleet.measurement
    return Fleet(clusters, services, carried_after(fleet.carried, part), measurement)


def _id(named: ServiceSummary | ServiceName) -> ServiceId:
    return ServiceId(named.namespace, named.name, named.dialect)

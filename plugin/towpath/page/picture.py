"""The picture: a row for each member and each service, as browsers show them. Pure.

A row holds facts and texts and no markup. Services name clusters by their place among the members, because
a thousand services with a hundred importers each would otherwise be a megabyte of names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from towpath.model.condition import CONFLICT, FALSE, TRUE, VALID
from towpath.page.fleet import Fleet, ServiceId
from towpath.page.row import Row
from towpath.page.traffic import Carried, Flows, Traffic, flows, traffic, unknown
from towpath.proto.v1alpha1 import service_pb2 as pb
from towpath.proto.v1alpha1.inventory_pb2 import FleetService
from towpath.rules.reasons import ConditionReason, TrafficReason

_TAGS = {(CONFLICT, TRUE): "conflict", (VALID, FALSE): "invalid"}


class Member(Row, frozen=True):
    """A member cluster. ``gateway`` is host and port as configured."""

    name: str
    key: str
    lost_since: str = ""
    drained: bool = False
    gateway: str = ""
    gateway_ip: str = ""
    gateway_source: str = ""
    dialects: tuple[str, ...] = ()


class Finding(Row, frozen=True):
    """Something to know about a service. ``tag`` is conflict, withheld or invalid."""

    tag: str
    reason: str
    text: str


class Link(Row, frozen=True):
    """The link that decides the state of a service."""

    step: str
    subject: str
    cluster: str = ""
    reason: str = ""
    text: str = ""
    since: str = ""


class Service(Row, frozen=True):
    """An exported service. Clusters are given by their place among the members."""

    id: str
    namespace: str
    name: str
    dialect: str
    state: str
    revision: str
    exporters: tuple[int, ...] = ()
    importing: tuple[int, ...] = ()
    behind: tuple[int, ...] = ()
    first: Link | None = None
    findings: tuple[Finding, ...] = ()


class Picture(msgspec.Struct, frozen=True):
    """The rows, and the requests between members. ``drawn`` and ``carried`` are what they were made of."""

    members: tuple[Member, ...] = ()
    services: Mapping[str, Service] = {}
    drawn: Mapping[str, FleetService] = {}
    flows: Flows = {}
    carried: Carried = {}
    traffic: Traffic = unknown(TrafficReason.NOT_REPORTED)

    @property
    def places(self) -> tuple[str, ...]:
        """The names of the members: services of pictures with other places cannot be compared."""
        return tuple(member.name for member in self.members)


EMPTY = Picture()


def picture(fleet: Fleet, before: Picture = EMPTY) -> Picture:
    """Return the picture of a cluster set. Rows of ``before`` are used again where nothing has changed."""
    members = tuple(_member(cluster) for _, cluster in sorted(fleet.clusters.items()))
    places = {member.name: place for place, member in enumerate(members)}
    kept = before if before.places == tuple(places) else EMPTY
    drawn = {row_id(key): message for key, message in sorted(fleet.services.items())}
    services = {
        key: kept.services[key] if kept.drawn.get(key) is message else _service(key, message, places)
        for key, message in drawn.items()
    }
    is_carried = kept is before and before.carried is fleet.carried
    shown = before.flows if is_carried else flows(fleet.carried, places)
    return Picture(members, services, drawn, shown, fleet.carried, traffic(fleet.measurement))


def without_traffic(seen: Picture, reason: TrafficReason) -> Picture:
    """Return a picture of which the traffic is unknown; the same one if it is so already."""
    if seen.traffic == unknown(reason):
        return seen
    return msgspec.structs.replace(seen, flows={}, carried={}, traffic=unknown(reason))


def row_id(service: ServiceId) -> str:
    """Return what identifies a service on the page, also in its address."""
    return f"{service.namespace}/{service.name}/{service.dialect}"


def _member(cluster: pb.Cluster) -> Member:
    return Member(
        name=cluster.name,
        key=cluster.cluster_key,
        lost_since=cluster.lost_since,
        drained=cluster.drained,
        gateway=f"{cluster.gateway_host}:{cluster.gateway_port}" if cluster.gateway_host else "",
        gateway_ip=cluster.gateway_ip,
        gateway_source=cluster.gateway_source,
        dialects=tuple(cluster.dialects),
    )


def _service(key: str, message: FleetService, places: Mapping[str, int]) -> Service:
    summary = message.summary
    return Service(
        id=key,
        namespace=summary.namespace,
        name=summary.name,
        dialect=summary.dialect,
        state=summary.state,
        revision=f"{message.revision:x}",
        exporters=_placed(summary.exporters, places),
        importing=_placed(message.importing, places),
        behind=_placed(message.behind, places),
        first=_link(summary.first) if summary.HasField("first") else None,
        findings=tuple(
            Finding(tag, condition.reason, condition.message)
            for condition in summary.conditions
            if (tag := _tag(condition))
        ),
    )


def _placed(names: Iterable[str], places: Mapping[str, int]) -> tuple[int, ...]:
    """Return the places of clusters; one that has just left has none."""
    return tuple(places[name] for name in names if name in places)


def _link(link: pb.Link) -> Link:
    return Link(link.step, link.subject, link.cluster, link.reason, link.text, link.since)


def _tag(condition: pb.Condition) -> str:
    """Return what a condition is shown as; empty if there is nothing to know."""
    if condition.reason == ConditionReason.WITHHELD:
        return "withheld"
    return _TAGS.get((condition.type, condition.status), "")

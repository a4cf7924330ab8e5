"""Conversion of the model to the messages of the gRPC API: one pure function for each message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from towpath.derivation.chain import Link, LinkState, Step, verdict
from towpath.derivation.explanation import (
    Explanation,
    ExportingCluster,
    ImportingCluster,
    ImportState,
    LeftOutCluster,
    Standing,
    TrafficState,
    standing,
)
from towpath.model.cluster import Fleet, Member
from towpath.model.condition import Condition
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.times import rfc3339
from towpath.model.view import Endpoint, ImportPort, Target
from towpath.plan.result import Plan, ServicePlan, TrafficPlan, explained
from towpath.proto.v1alpha1 import inventory_pb2, planner_pb2
from towpath.proto.v1alpha1 import service_pb2 as pb
from towpath.rules.reasons import Caution, Finding

_MAX_REVISION = (1 << 64) - 1


def cluster(member: Member, gateway_source: str = "") -> pb.Cluster:
    """Return one member of the inventory."""
    lost = member.unreachable_since
    return pb.Cluster(
        name=member.name,
        cluster_key=member.key,
        gateway_host=member.gateway_host,
        gateway_port=member.gateway_port,
        dialects=sorted(member.imports),
        state="Ready" if lost is None else "Lost",
        lost_since="" if lost is None else rfc3339(lost),
        drained=member.drained,
        gateway_source=gateway_source if member.gateway_host else "",
        gateway_ip=member.gateway_ip,
    )


def clusters(members: Mapping[str, Member], sources: Mapping[str, str] | None = None) -> list[pb.Cluster]:
    """Return the inventory, sorted by name; ``sources`` name what configures the gateways."""
    return [cluster(member, (sources or {}).get(name, "")) for name, member in sorted(members.items())]


def explanation(explained: Explanation) -> pb.Explanation:
    """Return an explained service."""
    key = explained.key
    message = pb.Explanation(
        namespace=key.namespace,
        name=key.name,
        dialect=key.dialect,
        exporters=[pb.Exporter(**exporter._asdict()) for exporter in explained.exporters],
        excluded=[pb.Exclusion(**left_out._asdict()) for left_out in explained.excluded],
        importers=[
            pb.Importer(**{**importer._asdict(), "ports": [_port(port) for port in importer.ports]})
            for importer in explained.importers
        ],
        not_importing=[pb.Exclusion(**left_out._asdict()) for left_out in explained.not_importing],
        conditions=conditions(explained.conditions),
        warnings=[pb.Finding(reason=f.reason, field=f.field, text=f.text) for f in explained.warnings],
        traffic_policy=_traffic(explained.traffic) if explained.traffic else None,
    )
    return with_chain(message, explained.chain) if explained.chain else message


def with_chain(message: pb.Explanation, chain: Sequence[Link]) -> pb.Explanation:
    """Return an explanation with this chain, and its verdict, in the place of its own."""
    state, first = verdict(chain)
    made = pb.Explanation()
    made.CopyFrom(message)
    for field in ("chain", "first"):
        made.ClearField(field)
    made.chain.extend(map(_link, chain))
    made.state = state
    if first is not None:
        made.first.CopyFrom(_link(first))
    return made


def _link(link: Link) -> pb.Link:
    return pb.Link(**link._asdict())


def link_of(link: pb.Link) -> Link:
    """Read a link of a chain from a message."""
    return Link(
        Step(link.step),
        link.subject,
        LinkState(link.state),
        link.cluster,
        link.reason,
        link.text,
        link.since,
    )


def _traffic(traffic: TrafficState) -> pb.TrafficPolicyState:
    return pb.TrafficPolicyState(
        lb_type=traffic.lb_type,
        targets=[pb.TrafficPolicyTarget(cluster_key=key, weight=weight) for key, weight in traffic.targets],
        clusters=traffic.clusters,
        conditions=conditions(traffic.conditions),
    )


def _traffic_of(state: pb.TrafficPolicyState) -> TrafficState:
    return TrafficState(
        state.lb_type,
        tuple((t.cluster_key, t.weight if t.HasField("weight") else None) for t in state.targets),
        tuple(state.clusters),
        tuple(map(_condition_of, state.conditions)),
    )


def _condition_of(c: pb.Condition) -> Condition:
    return Condition(c.type, c.status, c.reason, c.message)


def explanation_of(answer: pb.Explanation) -> Explanation:
    """Read an explained service from a message."""
    return Explanation(
        ServiceKey(Dialect(answer.dialect), answer.namespace, answer.name),
        tuple(
            ExportingCluster(e.cluster, e.cluster_key, e.lost_since, e.kept_until) for e in answer.exporters
        ),
        tuple(_left_out_of(exclusion) for exclusion in answer.excluded),
        tuple(
            ImportingCluster(
                i.cluster, i.cluster_key, tuple(map(_port_of, i.ports)), i.state, i.since, i.reason, i.text
            )
            for i in answer.importers
        ),
        tuple(_left_out_of(exclusion) for exclusion in answer.not_importing),
        tuple(map(_condition_of, answer.conditions)),
        tuple(Finding(finding.reason, finding.field, finding.text) for finding in answer.warnings),
        _traffic_of(answer.traffic_policy) if answer.HasField("traffic_policy") else None,
        tuple(map(link_of, answer.chain)),
    )


def _left_out_of(exclusion: pb.Exclusion) -> LeftOutCluster:
    return LeftOutCluster(exclusion.cluster, exclusion.reason, exclusion.text)


def _port_of(port: pb.Port) -> ImportPort:
    return ImportPort(
        port=port.port,
        protocol=port.protocol,
        name=port.name or None,
        app_protocol=port.app_protocol or None,
        endpoints=tuple(
            Endpoint(
                cluster_key=endpoint.cluster_key,
                target=Target(host=endpoint.host, ip=endpoint.ip, port=endpoint.port, path=endpoint.path),
            )
            for endpoint in port.endpoints
        ),
    )


def summary(short: Standing) -> inventory_pb2.ServiceSummary:
    """Return how a service stands."""
    key, (state, first) = short.key, short.verdict
    return inventory_pb2.ServiceSummary(
        namespace=key.namespace,
        name=key.name,
        dialect=key.dialect,
        exporters=short.exporters,
        importers=short.importers,
        conditions=conditions(short.conditions),
        in_place=short.in_place,
        state=state,
        first=_link(first) if first else None,
    )


def fleet_service(explained: Explanation) -> inventory_pb2.FleetService:
    """Return an explained service as a part of the cluster set."""
    importers = explained.importers
    return inventory_pb2.FleetService(
        summary=summary(standing(explained)),
        importing=[importer.cluster for importer in importers],
        behind=[importer.cluster for importer in importers if importer.state != ImportState.IN_PLACE],
        revision=revision(explained),
    )


def revision(explained: Explanation) -> int:
    """Return a number that differs if anything but the ports differs: to hash those takes the longest."""
    importers = tuple(importer._replace(ports=()) for importer in explained.importers)
    return hash(replace(explained, importers=importers)) & _MAX_REVISION


def conditions(of_status: Iterable[Condition]) -> list[pb.Condition]:
    """Return the conditions of a status."""
    return [pb.Condition(type=c.type, status=c.status, reason=c.reason, message=c.message) for c in of_status]


def plan(made: Plan, differences: Iterable[str]) -> planner_pb2.PlanResponse:
    """Return a plan, and the changes that it would make."""
    return planner_pb2.PlanResponse(
        clusters=clusters(made.fleet.members),
        services=[_planned_service(service, made.fleet) for service in made.services],
        traffic_policies=[_planned_policy(policy) for policy in made.traffic],
        notes=made.notes,
        refusals=made.refusals,
        differences=differences,
    )


def _planned_service(planned: ServicePlan, fleet: Fleet) -> planner_pb2.PlannedService:
    return planner_pb2.PlannedService(
        explanation=explanation(explained(planned, fleet)), objects=_json(planned.objects)
    )


def _planned_policy(planned: TrafficPlan) -> planner_pb2.PlannedPolicy:
    key = planned.applied.key
    return planner_pb2.PlannedPolicy(
        namespace=key.namespace,
        name=key.name,
        dialect=key.dialect,
        clusters=sorted(planned.applied.clusters),
        errors=findings(caution for caution in planned.cautions if caution not in planned.advice),
        warnings=findings(planned.advice),
        objects=_json([planned.following] if planned.following else []),
    )


def _json(objects: Iterable[Mapping[str, Any]]) -> list[str]:
    return [msgspec.json.encode(obj).decode() for obj in objects]


def findings(cautions: Iterable[Caution]) -> list[pb.Finding]:
    """Return errors and warnings."""
    return [pb.Finding(reason=c.reason.value, field=c.field, text=c.text) for c in cautions]


def _port(port: ImportPort) -> pb.Port:
    return pb.Port(
        port=port.port,
        protocol=port.protocol,
        name=port.name or "",
        app_protocol=port.app_protocol or "",
        endpoints=[_endpoint(endpoint) for endpoint in port.endpoints],
    )


def _endpoint(endpoint: Endpoint) -> pb.Endpoint:
    target = endpoint.target
    return pb.Endpoint(
        cluster_key=endpoint.cluster_key, host=target.host, ip=target.ip, port=target.port, path=target.path
    )

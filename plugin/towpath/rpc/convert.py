"""Conversion of the model to the messages of the gRPC API: one pure function for each message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from towpath.derivation.derive import Derived
from towpath.derivation.explanation import (
    Explanation,
    ExportingCluster,
    ImportingCluster,
    LeftOutCluster,
    TrafficState,
)
from towpath.model.cluster import Fleet, Member
from towpath.model.condition import Condition
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.times import rfc3339
from towpath.model.view import Endpoint, ImportPort, Target
from towpath.model.world import ExportedService
from towpath.plan.result import Plan, ServicePlan, TrafficPlan, explained
from towpath.proto.v1alpha1 import inventory_pb2, planner_pb2
from towpath.proto.v1alpha1 import service_pb2 as pb
from towpath.rules.reasons import Caution, Finding


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
    return pb.Explanation(
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
        warnings=[pb.Finding(**finding._asdict()) for finding in explained.warnings],
        traffic_policy=_traffic(explained.traffic) if explained.traffic else None,
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


def summary(
    service: ExportedService, derived: Derived, conditions_: Iterable[Condition]
) -> inventory_pb2.ServiceSummary:
    """Return one derived service in short."""
    key = service.key
    return inventory_pb2.ServiceSummary(
        namespace=key.namespace,
        name=key.name,
        dialect=key.dialect,
        exporters=derived.exporters,
        importers=len(derived.views),
        conditions=conditions(conditions_),
    )


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

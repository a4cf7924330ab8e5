"""From the model to the messages of the contract: pure functions, one a message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from towpath.derivation.derive import Derived, why_not_importing
from towpath.derivation.warnings import advise
from towpath.model.cluster import Fleet, Member
from towpath.model.condition import Condition
from towpath.model.view import Endpoint, ImportPort, View
from towpath.model.world import ExportedService
from towpath.plan.result import Plan, ServicePlan, TrafficPlan
from towpath.proto.v1alpha1 import inventory_pb2, planner_pb2
from towpath.proto.v1alpha1 import service_pb2 as pb
from towpath.rules.reasons import Caution


def cluster(member: Member) -> pb.Cluster:
    """Return one member of the inventory."""
    return pb.Cluster(
        name=member.name,
        cluster_key=member.key,
        gateway_host=member.gateway_host,
        gateway_port=member.gateway_port,
        dialects=sorted(member.imports),
    )


def clusters(members: Mapping[str, Member]) -> list[pb.Cluster]:
    """Return the inventory, sorted by name."""
    return [cluster(member) for _, member in sorted(members.items())]


def explanation(service: ExportedService, derived: Derived, fleet: Fleet) -> pb.Explanation:
    """Return one derived service. ``fleet`` is what it was derived with."""
    key, members = service.key, fleet.members
    idle = {name: why_not_importing(service, derived, member, members) for name, member in members.items()}
    return pb.Explanation(
        namespace=key.namespace,
        name=key.name,
        dialect=key.dialect,
        exporters=[pb.Exporter(cluster=name, cluster_key=members[name].key) for name in derived.exporters],
        excluded=[
            pb.Exclusion(cluster=name, reason=one.reason.value, text=one.text)
            for name, one in sorted(derived.excluded.items())
        ],
        importers=[importer(members[name], view) for name, view in sorted(derived.views.items())],
        not_importing=[
            pb.Exclusion(cluster=name, reason=reason.value, text=reason.text)
            for name, reason in sorted(idle.items())
            if reason is not None
        ],
        conditions=conditions(derived.conditions),
        warnings=findings(advise(service, derived, fleet)),
    )


def summary(service: ExportedService, derived: Derived) -> inventory_pb2.ServiceSummary:
    """Return one derived service in short."""
    key = service.key
    return inventory_pb2.ServiceSummary(
        namespace=key.namespace,
        name=key.name,
        dialect=key.dialect,
        exporters=derived.exporters,
        importers=len(derived.views),
        conditions=conditions(derived.conditions),
    )


def conditions(those: Iterable[Condition]) -> list[pb.Condition]:
    """Return what a status has to say."""
    return [pb.Condition(type=c.type, status=c.status, reason=c.reason, message=c.message) for c in those]


def plan(made: Plan, differences: Iterable[str]) -> planner_pb2.PlanResponse:
    """Return a plan, and what it would change."""
    return planner_pb2.PlanResponse(
        clusters=clusters(made.fleet.members),
        services=[_planned_service(one, made.fleet) for one in made.services],
        traffic_policies=[_planned_policy(one) for one in made.traffic],
        notes=made.notes,
        refusals=made.refusals,
        differences=differences,
    )


def _planned_service(one: ServicePlan, fleet: Fleet) -> planner_pb2.PlannedService:
    explained = explanation(one.service, one.derived, fleet)
    del explained.conditions[:]
    explained.conditions.extend(conditions(one.conditions))
    return planner_pb2.PlannedService(explanation=explained, objects=_json(one.objects))


def _planned_policy(one: TrafficPlan) -> planner_pb2.PlannedPolicy:
    key = one.applied.key
    return planner_pb2.PlannedPolicy(
        namespace=key.namespace,
        name=key.name,
        dialect=key.dialect,
        clusters=sorted(one.applied.clusters),
        errors=findings(caution for caution in one.cautions if caution not in one.advice),
        warnings=findings(one.advice),
        objects=_json([one.following] if one.following else []),
    )


def _json(objects: Iterable[Mapping[str, Any]]) -> list[str]:
    return [msgspec.json.encode(obj).decode() for obj in objects]


def findings(those: Iterable[Caution]) -> list[pb.Finding]:
    """Return what is wrong or surprises."""
    return [pb.Finding(reason=one.reason.value, field=one.field, text=one.text) for one in those]


def importer(member: Member, view: View) -> pb.Importer:
    """Return what a member imports."""
    return pb.Importer(
        cluster=member.name, cluster_key=member.key, ports=[_port(port) for port in view.ports]
    )


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

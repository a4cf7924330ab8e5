"""What Towpath makes of a world: each service with its objects and warnings, and the same as one document."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from towpath.derivation.derive import Derived, derive
from towpath.derivation.explanation import Explanation, explain, finding_document, member_document
from towpath.derivation.explanation import document as service_document
from towpath.derivation.followpolicy import export_policy, traffic_policy
from towpath.derivation.render import Rendered, import_of, render
from towpath.derivation.routes import NO_ROUTES, Routes, route_objects, routes_of
from towpath.derivation.user_overrides import cautions_of, import_overrides
from towpath.derivation.warnings import advise, advise_policy
from towpath.model.cluster import Fleet
from towpath.model.condition import Condition
from towpath.model.world import AppliedPolicy, ExportedService, World
from towpath.plan.objects import Id
from towpath.propagation.policies import OverridePolicy, Target
from towpath.rules.conditions import unrouted
from towpath.rules.handover import handover
from towpath.rules.reasons import Caution, InvalidReason, RouteReason

Object = Mapping[str, Any]


@dataclass(frozen=True)
class ServicePlan:
    """One service. ``following`` is the policy by which its export follows the Service, None if none is.

    ``routes`` are those on members' own gateways.
    """

    service: ExportedService
    derived: Derived
    rendered: Rendered
    following: Object | None
    cautions: tuple[Caution, ...]
    routes: Routes = NO_ROUTES

    @property
    def objects(self) -> tuple[Object, ...]:
        """What Towpath would write for it, in order."""
        following = (self.following,) if self.following else ()
        return (*following, *route_objects(self.service, self.routes), *self.rendered.objects)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What the status of the export would say."""
        reasons = {**self.routes.problems, **dict.fromkeys(self.routes.without_kind, RouteReason.NOT_SERVED)}
        problems = {cluster: (reason, "") for cluster, reason in reasons.items()}
        refused = self.rendered.refused or (unrouted(problems) if problems else None)
        return (*self.derived.conditions, refused) if refused else self.derived.conditions


@dataclass(frozen=True)
class TrafficPlan:
    """One traffic policy, and the policy by which it follows the imports."""

    applied: AppliedPolicy
    following: Object | None
    cautions: tuple[Caution, ...]

    @property
    def advice(self) -> list[Caution]:
        """What is legal and surprises."""
        return [caution for caution in self.cautions if not isinstance(caution.reason, InvalidReason)]


@dataclass(frozen=True)
class Plan:
    """All of it. ``notes`` say what could not be known."""

    fleet: Fleet
    services: tuple[ServicePlan, ...]
    traffic: tuple[TrafficPlan, ...]
    notes: tuple[str, ...] = ()

    @property
    def refusals(self) -> tuple[str, ...]:
        """What is impossible: sentences that name the object."""
        services = (
            f"ServiceExport {planned.service.key}: {planned.rendered.refused.message}"
            for planned in self.services
            if planned.rendered.refused
        )
        policies = (
            f"GlobalTrafficPolicy {planned.applied.key}: {caution.text}"
            for planned in self.traffic
            for caution in planned.cautions
            if isinstance(caution.reason, InvalidReason)
        )
        return (*services, *policies)


def make(
    world: World,
    notes: tuple[str, ...] = (),
    overrides: Collection[OverridePolicy] = (),
    targets: Mapping[str, Target] | None = None,
) -> Plan:
    """Derive a world and render all of it.

    ``overrides`` are the user's, ``targets`` the members as policies select them.
    """
    fleet, derivation = Fleet(world.members), derive(world)
    services = {}
    for key, derived in derivation.services.items():
        planned = _service(world.services[key], derived, fleet)
        effects = import_overrides(planned.rendered, overrides, targets or {})
        services[key] = replace(planned, cautions=(*planned.cautions, *cautions_of(effects)))
    traffic = tuple(
        _traffic(applied, services.get(key), fleet) for key, applied in sorted(world.policies.items())
    )
    return Plan(fleet, tuple(services.values()), traffic, notes)


def _service(service: ExportedService, derived: Derived, fleet: Fleet) -> ServicePlan:
    return ServicePlan(
        service,
        derived,
        render(service.key, service.uid, derived, handover=handover(service.annotations)),
        export_policy(service, fleet.members),
        advise(service, derived, fleet),
        routes_of(service, derived, fleet),
    )


def _traffic(applied: AppliedPolicy, plan: ServicePlan | None, fleet: Fleet) -> TrafficPlan:
    service, derived = (plan.service, plan.derived) if plan else (None, None)
    following = traffic_policy(applied, derived)
    if following and derived:
        applied = AppliedPolicy(
            applied.key, applied.uid, applied.policy, frozenset(derived.views), selected=False
        )
    return TrafficPlan(applied, following, advise_policy(applied, service, derived, fleet))


def touched(before: Plan, after: Plan, given: Collection[Id]) -> Plan:
    """Return of a plan what manifests touch: what they name, and what differs from the plan without them."""
    names = {(id_.namespace, id_.name) for id_ in given}
    services = {planned.service.key: planned for planned in before.services}
    traffic = {planned.applied.key: planned for planned in before.traffic}
    return replace(
        after,
        services=tuple(
            planned
            for planned in after.services
            if (planned.service.key.namespace, planned.service.key.name) in names
            or services.get(planned.service.key) != planned
        ),
        traffic=tuple(
            planned
            for planned in after.traffic
            if (planned.applied.key.namespace, planned.applied.key.name) in names
            or traffic.get(planned.applied.key) != planned
        ),
        notes=tuple(note for note in after.notes if note not in before.notes),
    )


def explained(planned: ServicePlan, fleet: Fleet) -> Explanation:
    """Return a planned service, explained."""
    return explain(
        planned.service, planned.derived, fleet, conditions=planned.conditions, cautions=planned.cautions
    )


def document(plan: Plan) -> dict[str, Any]:
    """Return a plan as one document for YAML and JSON, with the field names of the gRPC API's JSON.

    A service is an explanation with the whole import of each cluster, and the objects to write.
    """
    fleet = plan.fleet
    return {
        "clusters": [member_document(member) for _, member in sorted(fleet.members.items())],
        "services": [
            {
                **service_document(explained(planned, fleet)),
                "imports": _imports(planned),
                "objects": list(planned.objects),
            }
            for planned in plan.services
        ],
        "trafficPolicies": [_traffic_document(planned) for planned in plan.traffic],
        "notes": list(plan.notes),
        "refusals": list(plan.refusals),
    }


def _imports(planned: ServicePlan) -> dict[str, Any]:
    key = planned.service.key
    return {cluster: import_of(key, view) for cluster, view in planned.derived.views.items()}


def _traffic_document(planned: TrafficPlan) -> dict[str, Any]:
    key, advice = planned.applied.key, planned.advice
    return {
        "namespace": key.namespace,
        "name": key.name,
        "dialect": key.dialect.value,
        "clusters": sorted(planned.applied.clusters),
        "errors": [finding_document(c.finding) for c in planned.cautions if c not in advice],
        "warnings": [finding_document(c.finding) for c in advice],
        "objects": [planned.following] if planned.following else [],
    }

"""What Towpath makes of a world: each service with its objects and warnings, and the same as one document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from towpath.derivation.derive import Derived, derive, why_not_importing
from towpath.derivation.followpolicy import export_policy, traffic_policy
from towpath.derivation.render import Rendered, import_of, render
from towpath.derivation.warnings import advise, advise_policy
from towpath.model.cluster import Fleet
from towpath.model.condition import Condition
from towpath.model.keys import ServiceKey
from towpath.model.world import AppliedPolicy, ExportedService, World
from towpath.rules.reasons import Caution, InvalidReason

Object = Mapping[str, Any]


@dataclass(frozen=True)
class ServicePlan:
    """One service. ``following`` is the policy by which its export follows the Service, None if none is."""

    service: ExportedService
    derived: Derived
    rendered: Rendered
    following: Object | None
    cautions: tuple[Caution, ...]

    @property
    def objects(self) -> tuple[Object, ...]:
        """What Towpath would write for it, in order."""
        return (*((self.following,) if self.following else ()), *self.rendered.objects)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What the status of the export would say."""
        refused = self.rendered.refused
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
            f"ServiceExport {one.service.key}: {one.rendered.refused.message}"
            for one in self.services
            if one.rendered.refused
        )
        policies = (
            f"GlobalTrafficPolicy {one.applied.key}: {caution.text}"
            for one in self.traffic
            for caution in one.cautions
            if isinstance(caution.reason, InvalidReason)
        )
        return (*services, *policies)


def make(world: World, notes: tuple[str, ...] = ()) -> Plan:
    """Derive a world and render all of it."""
    fleet, derivation = Fleet(world.members), derive(world)
    services = {key: _service(world.services[key], d, fleet) for key, d in derivation.services.items()}
    traffic = tuple(
        _traffic(applied, services.get(key), fleet) for key, applied in sorted(world.policies.items())
    )
    return Plan(fleet, tuple(services.values()), traffic, notes)


def _service(service: ExportedService, derived: Derived, fleet: Fleet) -> ServicePlan:
    return ServicePlan(
        service,
        derived,
        render(service.key, service.uid, derived, overwrites=service.overwrites),
        export_policy(service, fleet.members),
        advise(service, derived, fleet),
    )


def _traffic(applied: AppliedPolicy, plan: ServicePlan | None, fleet: Fleet) -> TrafficPlan:
    service, derived = (plan.service, plan.derived) if plan else (None, None)
    following = traffic_policy(applied, derived)
    if following and derived:
        applied = AppliedPolicy(
            applied.key, applied.uid, applied.policy, frozenset(derived.views), selected=False
        )
    return TrafficPlan(applied, following, advise_policy(applied, service, derived, fleet))


def document(plan: Plan) -> dict[str, Any]:
    """Return a plan as one document, the same for YAML and JSON."""
    return {
        "members": [
            {
                "name": name,
                "clusterKey": member.key,
                "gateway": f"{member.gateway_host}:{member.gateway_port}" if member.gateway_host else None,
                "serves": sorted(dialect.value for dialect in member.imports),
            }
            for name, member in sorted(plan.fleet.members.items())
        ],
        "services": [_service_document(one, plan.fleet) for one in plan.services],
        "trafficPolicies": [
            {
                **_key(one.applied.key),
                "clusters": sorted(one.applied.clusters),
                "warnings": [_caution(c) for c in one.cautions],
                "objects": [one.following] if one.following else [],
            }
            for one in plan.traffic
        ],
        "notes": list(plan.notes),
    }


def _service_document(one: ServicePlan, fleet: Fleet) -> dict[str, Any]:
    derived, service = one.derived, one.service
    idle = {
        name: why_not_importing(service, derived, member, fleet.members)
        for name, member in sorted(fleet.members.items())
    }
    return {
        **_key(service.key),
        "exporters": list(derived.exporters),
        "notExporting": [
            {"cluster": name, "reason": why.reason.value, "message": why.text}
            for name, why in derived.excluded.items()
        ],
        "imports": {name: import_of(service.key, view) for name, view in derived.views.items()},
        "notImporting": [
            {"cluster": name, "reason": why.value, "message": why.text}
            for name, why in idle.items()
            if why is not None
        ],
        "conditions": [
            {"type": c.type, "status": c.status, "reason": str(c.reason), "message": c.message}
            for c in one.conditions
        ],
        "warnings": [_caution(c) for c in one.cautions],
        "objects": list(one.objects),
    }


def _key(key: ServiceKey) -> dict[str, str]:
    return {"namespace": key.namespace, "name": key.name, "group": key.dialect.value}


def _caution(caution: Caution) -> dict[str, Any]:
    refused = {"refused": True} if isinstance(caution.reason, InvalidReason) else {}
    return {"reason": caution.reason.value, "field": caution.field, "message": caution.text, **refused}

"""One service of the running plugin, explained: the derivation, and how it arrives in the members.

The condition Ready and the state of each importing cluster are worked out by the functions that write the
status, from what Karmada reports at the moment, so an explanation is never older than the question.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping
from dataclasses import replace

from towpath.controller.rollout.decide import arrival_of
from towpath.derivation.derive import Derived
from towpath.derivation.explanation import (
    Explanation,
    ExportingCluster,
    ImportingCluster,
    ImportState,
    TrafficState,
    explain,
)
from towpath.derivation.render import Rendered, render
from towpath.derivation.warnings import advise_policy
from towpath.inventory.inventory import Inventory
from towpath.inventory.snapshot import import_state
from towpath.model.arrival import Arrival
from towpath.model.cluster import Member
from towpath.model.condition import Condition
from towpath.model.export import WHEN_UNREACHABLE
from towpath.model.keys import ServiceKey
from towpath.model.times import rfc3339
from towpath.model.world import ExportedService
from towpath.rules import conditions
from towpath.rules.reachability import DEFAULT_GRACE, grace
from towpath.rules.reasons import ConditionReason

FLOMESH_CLUSTER, ANNOTATION = "flomesh Cluster", "annotation"
"""What can configure the gateway of a member."""


class Explainer:
    """Explains services from the inventory.

    ``withheld`` are the services whose import the deletion guard keeps; ``pending_since`` returns since when
    (seconds since 1970) members lag with a service, None if that is not known.
    """

    def __init__(
        self,
        inventory: Inventory,
        withheld: Container[ServiceKey] = (),
        pending_since: Callable[[ServiceKey], float | None] = lambda _: None,
    ) -> None:
        self._inventory, self._withheld, self._pending_since = inventory, withheld, pending_since

    def explain(self, key: ServiceKey, now: float) -> tuple[Explanation, float] | None:
        """Return the explanation, and when time alone may change it; None if there is no such export."""
        world = self._inventory.world
        service, derived = world.services.get(key), world.derived(key, now)
        if service is None or derived is None:
            return None
        arrival, ready = self._arrival(service, derived)
        explained = explain(service, derived, world.fleet, conditions=(*derived.conditions, ready))
        members = world.fleet.members
        return (
            replace(
                explained,
                exporters=tuple(
                    _with_loss(exporter, members[exporter.cluster], service)
                    for exporter in explained.exporters
                ),
                importers=tuple(
                    self._with_state(importer, arrival, members[importer.cluster], key)
                    for importer in explained.importers
                ),
                traffic=self._traffic(key, service, derived),
            ),
            derived.look_again,
        )

    def ready(self, service: ExportedService, derived: Derived) -> Condition:
        """Return the condition Ready of a service."""
        return self._arrival(service, derived)[1]

    def gateway_sources(self) -> Mapping[str, str]:
        """Return what configures the gateway of each member."""
        clusters = self._inventory.watched.flomesh_clusters.values()
        return {
            name: FLOMESH_CLUSTER if any(c.get(name) is not None for c in clusters) else ANNOTATION
            for name in self._inventory.world.fleet.members
        }

    def _arrival(self, service: ExportedService, derived: Derived) -> tuple[Arrival, Condition]:
        wanted: Rendered = render(service.key, service.uid, derived, overwrites=service.overwrites)
        arrival = arrival_of(import_state(self._inventory, service.key), wanted.digests)
        if service.key in self._withheld:
            return arrival, conditions.withheld()
        return arrival, wanted.refused or conditions.ready(sorted(wanted.digests), arrival)

    def _with_state(
        self, importer: ImportingCluster, arrival: Arrival, member: Member, key: ServiceKey
    ) -> ImportingCluster:
        """Return an importer with the state of its import."""
        name, lost = importer.cluster, member.unreachable_since
        if not arrival.told:
            return _stated(importer, ImportState.UNKNOWN, ConditionReason.NOT_REPORTED)
        if name not in arrival.behind:
            return importer._replace(state=ImportState.IN_PLACE.value)
        if lost is not None:
            return _stated(importer, ImportState.LOST, ConditionReason.CLUSTER_LOST, lost)
        if name in arrival.failed:
            failed = conditions.ready([name], replace(arrival, behind=(name,), lost=()))
            return importer._replace(
                state=ImportState.FAILED.value, reason=str(failed.reason), text=arrival.failed[name]
            )
        since = self._pending_since(key)
        waiting = conditions.ready([name], replace(arrival, behind=(name,), lost=(), failed={}))
        return _stated(importer, ImportState.PENDING, waiting, since)

    def _traffic(self, key: ServiceKey, service: ExportedService, derived: Derived) -> TrafficState | None:
        world = self._inventory.world
        applied = world.policies.get(key)
        if applied is None:
            return None
        cautions = advise_policy(applied, service, derived, world.fleet)
        return TrafficState(
            applied.policy.lb_type.value,
            tuple((target.cluster_key, target.weight) for target in applied.policy.targets),
            tuple(sorted(applied.clusters)),
            (conditions.accepted(cautions), conditions.resolved(cautions)),
        )


def _stated(
    importer: ImportingCluster,
    state: ImportState,
    why: ConditionReason | Condition,
    since: float | None = None,
) -> ImportingCluster:
    reason, text = (why.reason, why.message) if isinstance(why, Condition) else (why.value, why.text)
    return importer._replace(
        state=state.value, since="" if since is None else rfc3339(since), reason=str(reason), text=text
    )


def _with_loss(exporter: ExportingCluster, member: Member, service: ExportedService) -> ExportingCluster:
    """Return an exporter with since when it is lost, and until when it is kept."""
    lost = member.unreachable_since
    if lost is None:
        return exporter
    kept = grace(service.annotations.get(WHEN_UNREACHABLE, ""))
    until = lost + (DEFAULT_GRACE if kept is None else kept)
    return exporter._replace(lost_since=rfc3339(lost), kept_until="" if until == math.inf else rfc3339(until))

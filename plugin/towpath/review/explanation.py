"""One service of the running plugin, explained: the derivation, and how it arrives in the members.

The condition Ready and the state of each importing cluster are worked out by the functions that write the
status, from what Karmada reports at the moment, so an explanation is never older than the question.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from towpath.controller.rollout.arrival import arrival_of
from towpath.derivation.chain import verdict
from towpath.derivation.derive import Derived
from towpath.derivation.explanation import (
    Explanation,
    ExportingCluster,
    Standing,
    TrafficState,
    explain,
)
from towpath.derivation.render import Rendered, render
from towpath.derivation.routes import routes_of
from towpath.derivation.user_overrides import import_overrides
from towpath.derivation.warnings import advise, advise_policy
from towpath.inventory.inventory import Inventory
from towpath.inventory.take import take
from towpath.model.arrival import Arrival
from towpath.model.cluster import Member
from towpath.model.condition import Condition
from towpath.model.export import WHEN_UNREACHABLE
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.times import rfc3339
from towpath.model.world import ExportedService
from towpath.review.chain import links
from towpath.review.evidence import Evidence
from towpath.review.importing import Importing
from towpath.rules import conditions
from towpath.rules.contention import claims_of
from towpath.rules.handover import handover
from towpath.rules.late_cache import caught_up_at
from towpath.rules.reachability import DEFAULT_GRACE, grace
from towpath.rules.reasons import ChainReason, Finding

FLOMESH_CLUSTER, ANNOTATION = "flomesh Cluster", "annotation"
"""What can configure the gateway of a member."""

NOTHING_WITHHELD: Mapping[ServiceKey, str] = {}


class Explainer:
    """Explains services from the inventory.

    ``withheld`` are the services whose import the deletion guard keeps; ``pending_since`` returns since when
    (seconds since 1970) members lag with a service, None if that is not known.
    """

    def __init__(
        self,
        inventory: Inventory,
        withheld: Mapping[ServiceKey, str] = NOTHING_WITHHELD,
        pending_since: Callable[[ServiceKey], float | None] = lambda _: None,
    ) -> None:
        self._inventory, self._withheld, self._pending_since = inventory, withheld, pending_since

    def explain(self, key: ServiceKey, now: float) -> tuple[Explanation, float] | None:
        """Return the explanation, and when time alone may change it; None if there is no such export."""
        found = self._evidence(key, now)
        if found is None:
            return None
        world, (evidence, _) = self._inventory.world, found
        service, derived = evidence.service, evidence.derived
        cautions = (*advise(service, derived, world.fleet), *world.nested(service, claims_of(service)))
        explained = replace(
            evidence.explained,
            warnings=(*(caution.finding for caution in cautions), *self._namesakes(key)),
            traffic=self._traffic(key, service, derived),
            chain=links(evidence),
        )
        caught_up = caught_up_at(evidence.snapshot.imports.catching_up.values())
        return explained, min(derived.look_again, caught_up)

    def standing(self, key: ServiceKey, now: float) -> Standing | None:
        """Return how a service stands, which its explanation says too; None if there is no such export."""
        found = self._evidence(key, now, deciding=True)
        if found is None:
            return None
        evidence, importing = found
        views, in_place = evidence.derived.views, importing.in_place(evidence.derived.views)
        return Standing.of(evidence.explained, verdict(links(evidence)), len(views), in_place)

    def _evidence(
        self, key: ServiceKey, now: float, *, deciding: bool = False
    ) -> tuple[Evidence, Importing] | None:
        """Return what the chain follows from, with the states of all importers, or of those that decide."""
        world = self._inventory.world
        service, derived = world.services.get(key), world.derived(key, now)
        if service is None or derived is None:
            return None
        snapshot = take(self._inventory, key, now, idle=True)
        asked = handover(service.annotations)
        wanted = render(key, service.uid, derived, handover=asked, in_use=snapshot.in_use)
        routes = routes_of(service, derived, world.fleet)
        arrived = arrival_of(snapshot.reports, world.fleet, derived, wanted, routes)
        arrival, ready = self._arrival(key, arrived, wanted)
        importing = Importing(snapshot, arrival, self._pending_since(key))
        members = world.fleet.members
        explained = explain(
            service,
            derived,
            world.fleet,
            conditions=(*derived.conditions, ready),
            cautions=(),
            importers=importing.first_of_each(derived.views) if deciding else derived.views,
        )
        explained = replace(
            explained,
            exporters=tuple(
                _with_loss(exporter, members[exporter.cluster], service) for exporter in explained.exporters
            ),
            importers=tuple(map(importing.stated, explained.importers)),
        )
        overrides = import_overrides(wanted, snapshot.imports.overrides, snapshot.imports.targets)
        withheld = key in self._withheld
        return Evidence(
            snapshot, service, derived, wanted, explained, overrides, withheld, arrival
        ), importing

    def gateway_sources(self) -> Mapping[str, str]:
        """Return what configures the gateway of each member."""
        clusters = self._inventory.watched.flomesh_clusters.values()
        return {
            name: FLOMESH_CLUSTER if any(c.get(name) is not None for c in clusters) else ANNOTATION
            for name in self._inventory.world.fleet.members
        }

    def _arrival(self, key: ServiceKey, arrival: Arrival, wanted: Rendered) -> tuple[Arrival, Condition]:
        if (mostly := self._withheld.get(key)) is not None:
            return arrival, conditions.withheld(mostly)
        return arrival, wanted.refused or conditions.ready(sorted(wanted.digests), arrival)

    def _namesakes(self, key: ServiceKey) -> Iterator[Finding]:
        """Yield a warning for the export of the other API group, if there is one of this name."""
        for dialect in Dialect:
            if dialect is not key.dialect and key._replace(dialect=dialect) in self._inventory.world.services:
                reason = ChainReason.NAMESAKE
                text = f"metadata.name (ServiceExport of {dialect}): {reason.text}"
                yield Finding(reason.value, "metadata.name", text)

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


def _with_loss(exporter: ExportingCluster, member: Member, service: ExportedService) -> ExportingCluster:
    """Return an exporter with since when it is lost, and until when it is kept."""
    lost = member.unreachable_since
    if lost is None:
        return exporter
    kept = grace(service.annotations.get(WHEN_UNREACHABLE, ""))
    until = lost + (DEFAULT_GRACE if kept is None else kept)
    return exporter._replace(lost_since=rfc3339(lost), kept_until="" if until == math.inf else rfc3339(until))

"""World in, what every cluster should import out: one pure function, and the same for one service.

The result depends on nothing but the world: not on the order in which things were seen, not on what
was derived before. That is what makes a restart, a missed event and a first start the same thing.

A service is derived in this order: each cluster is judged for itself, then what others hold and who is
lost takes some out, the oldest of the rest says what type the import has, their ports are united once,
and each importing cluster gets the ports of all exporters but itself. Only what differs costs: clusters
that export nothing and are in every scope share one view, whatever their number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from towpath.model.cluster import Fleet, Member
from towpath.model.condition import Condition
from towpath.model.export import WHEN_UNREACHABLE
from towpath.model.keys import ServiceKey
from towpath.model.view import View
from towpath.model.world import ExportedService, World
from towpath.propagation.namespaces import is_reserved
from towpath.rules import conditions, contention
from towpath.rules.conflict import disagreements
from towpath.rules.contention import EVERYWHERE, Lost
from towpath.rules.eligibility import drained, why_not_exporting
from towpath.rules.ports import Exporter, United, can_replace, exporter, merge_ports, of_one_type, view_of
from towpath.rules.reachability import DEFAULT_GRACE, Standing, grace, standing
from towpath.rules.reasons import Exclusion, ExclusionReason, NotImportedReason
from towpath.rules.scope import in_scope


@dataclass(frozen=True)
class Derived:
    """One service: its exporters, why the others are none, and the view of each importing cluster.

    ``exporters`` are named in the order of precedence. ``everything`` is the view of a cluster that exports
    nothing and is in every scope; None if there are no exporters. At ``look_again`` (seconds since 1970)
    the passing of time alone can change the result; infinite if it can't.
    """

    exporters: tuple[str, ...] = ()
    excluded: Mapping[str, Exclusion] = field(default_factory=dict)
    views: Mapping[str, View] = field(default_factory=dict)
    everything: View | None = None
    conditions: tuple[Condition, ...] = ()
    look_again: float = math.inf


@dataclass(frozen=True)
class Derivation:
    """The derivation of every service of a world."""

    services: Mapping[ServiceKey, Derived]


def derive(world: World) -> Derivation:
    """Derive every service of the world."""
    fleet, holders = Fleet(world.members), contention.holders(world.services)
    # Claims are worked out twice: to hold them all between takes as long, and longer in larger worlds.
    return Derivation(
        {
            key: derive_service(
                service, fleet, contention.lost(key, contention.claims_of(service), holders), world.now
            )
            for key, service in sorted(world.services.items())
        }
    )


def derive_service(service: ExportedService, fleet: Fleet, lost: Sequence[Lost], now: float) -> Derived:
    """Derive one service: what the controller does when something about it has changed.

    ``lost`` is what it claims and others have.
    """
    taken = contention.exclusions(lost)
    if is_reserved(service.key.namespace):
        taken[EVERYWHERE] = Exclusion(ExclusionReason.NAMESPACE_RESERVED)
    elif service.taken_by:
        taken[EVERYWHERE] = contention.name_taken(service.taken_by)
    excluded, candidates = _candidates(service, fleet.members, taken)
    judged = _standing(service, candidates, now)
    excluded.update((name, Exclusion(ExclusionReason.UNREACHABLE)) for name in judged.withdrawn)
    ordered = _oldest_first(service, (e for e in candidates if e.member.name not in judged.withdrawn))
    exporters = of_one_type(ordered)
    if len(exporters) < len(ordered):
        names_left = {e.member.name for e in ordered} - {e.member.name for e in exporters}
        excluded.update((name, Exclusion(ExclusionReason.TYPE_CONFLICT)) for name in names_left)
    united = merge_ports(exporters)
    names = tuple(e.member.name for e in exporters)
    everything = view_of(united, names)
    return Derived(
        names,
        dict(sorted(excluded.items())),
        _views(_importers(service, fleet), exporters, united, everything, fleet),
        everything,
        (
            conditions.valid(service, names, excluded, taken.get(EVERYWHERE), _twins(names, fleet)),
            conditions.conflict(disagreements(ordered, united.clashes, lost)),
        ),
        judged.look_again,
    )


def why_not_importing(
    service: ExportedService, derived: Derived, member: Member, members: Mapping[str, Member]
) -> NotImportedReason | None:
    """Tell why a member has no view of a service; None if it has one."""
    if member.name in derived.views:
        return None
    if service.key.dialect not in member.imports:
        return NotImportedReason.NOT_SERVED
    if service.namespaced is not None and member.name not in service.namespaced:
        return NotImportedReason.NO_NAMESPACE
    others = [members[name] for name in derived.exporters if name != member.name]
    if not derived.exporters:
        return NotImportedReason.NO_EXPORTER
    if not others:
        return NotImportedReason.ONLY_EXPORTER
    if not any(in_scope(service.offers[other.name].export, member.key) for other in others):
        return NotImportedReason.OUT_OF_SCOPE
    return NotImportedReason.PORTS_CLASH


def _twins(exporters: Sequence[str], fleet: Fleet) -> list[tuple[str, ...]]:
    """Return the names of each exporting cluster that has joined under several names."""
    return [same for same in fleet.joined_twice if not set(same).isdisjoint(exporters)]


def exporters_of(service: ExportedService, names: Iterable[str], fleet: Fleet) -> list[Exporter]:
    """Return what clusters put into the views of others; ``names`` are those of a Derived's exporters."""
    return [
        exporter(fleet.members[name], offer.export, offer.service)
        for name in names
        if (offer := service.offers[name]).service is not None
    ]


def _candidates(
    service: ExportedService, members: Mapping[str, Member], taken: Mapping[str, Exclusion]
) -> tuple[dict[str, Exclusion], list[Exporter]]:
    """Judge each cluster: why it does not export, or what it offers."""
    excluded, candidates = {}, []
    for name, offer in service.offers.items():
        member = members.get(name)
        reason = why_not_exporting(member, offer, taken.get(EVERYWHERE), taken.get(name))
        if reason is None and member is not None and drained(service, member):
            reason = Exclusion(ExclusionReason.DRAINED)
        if reason is not None:
            excluded[name] = reason
        elif member is not None and offer.service is not None:
            candidates.append(exporter(member, offer.export, offer.service))
    return excluded, candidates


def _standing(service: ExportedService, candidates: Sequence[Exporter], now: float) -> Standing:
    wait = grace(service.annotations.get(WHEN_UNREACHABLE, ""))
    lost = {e.member.name: e.member.unreachable_since for e in candidates}
    by_name = {e.member.name: e for e in candidates}

    def can_go(one: str, others: frozenset[str]) -> bool:
        return can_replace(_oldest_first(service, (by_name[other] for other in others)), by_name[one])

    return standing(lost, DEFAULT_GRACE if wait is None else wait, now, can_go)


def _oldest_first(service: ExportedService, exporters: Iterable[Exporter]) -> list[Exporter]:
    def age(one: Exporter) -> tuple[str, str]:
        return (service.offers[one.member.name].created or service.created, one.member.key)

    return sorted(exporters, key=age)


def _importers(service: ExportedService, fleet: Fleet) -> Sequence[str]:
    """Return the members that can have the import ("importer rule")."""
    serving = fleet.importers[service.key.dialect]
    if service.namespaced is None:
        return serving
    return [name for name in serving if name in service.namespaced]


def _views(
    importers: Sequence[str],
    exporters: Sequence[Exporter],
    united: United,
    everything: View | None,
    fleet: Fleet,
) -> dict[str, View]:
    """Return what each importing cluster sees, by name. Views that are equal are one object."""
    if everything is None:
        return {}
    if not any(e.export.target_clusters for e in exporters):
        special: Iterable[str] = (e.member.name for e in exporters)
    else:
        special = importers
    views = dict.fromkeys(importers, everything)
    seen: dict[frozenset[str], View | None] = {}
    for name in special:
        if name not in views:
            continue
        member = fleet.members[name]
        others = frozenset(
            e.member.name for e in exporters if e.member.name != name and in_scope(e.export, member.key)
        )
        if others not in seen:
            seen[others] = everything if len(others) == len(exporters) else view_of(united, others)
        view = seen[others]
        if view is None:
            del views[name]
        else:
            views[name] = view
    return views

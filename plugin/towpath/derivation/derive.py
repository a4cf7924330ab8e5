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
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from towpath.model.claim import EVERYWHERE
from towpath.model.cluster import Fleet, Member
from towpath.model.condition import Condition
from towpath.model.export import WHEN_UNREACHABLE
from towpath.model.keys import ServiceKey
from towpath.model.view import View
from towpath.model.world import ExportedService, World
from towpath.propagation.namespaces import is_reserved
from towpath.rules import conditions, contention, late_cache
from towpath.rules.conflict import disagreements
from towpath.rules.contention import Lost
from towpath.rules.eligibility import drained, why_not_exporting
from towpath.rules.handover import released
from towpath.rules.ports import Exporter, United, can_replace, exporter, merge_ports, of_one_type, view_of
from towpath.rules.reachability import DEFAULT_GRACE, Standing, grace, kept_until, standing
from towpath.rules.reasons import ChainReason, Exclusion, ExclusionReason, NotImportedReason
from towpath.rules.scope import in_scope

STALE_SECONDS = 30.0
"""How long a member may hold another version of an export before the status says so. Touches come earlier."""


_ON_THE_WAY = {ExclusionReason.NOT_APPLIED_YET, ExclusionReason.NOT_REPORTED_YET}


@dataclass(frozen=True)
class Derived:
    """One service: its exporters, why the others are none, and the view of each importing cluster.

    ``exporters`` are named in the order of precedence. ``everything`` is the view of a cluster that exports
    nothing and is in every scope; None if there are no exporters. ``brings_service``: an importing cluster
    has the data path, so that the Service goes where the import goes ("name rule"). At ``look_again``
    (seconds since 1970) the passing of time alone can change the result; infinite if it can't. ``faults`` are
    sentences about what keeps changes of export or Service from clusters that have them.
    """

    exporters: tuple[str, ...] = ()
    excluded: Mapping[str, Exclusion] = field(default_factory=dict)
    views: Mapping[str, View] = field(default_factory=dict)
    everything: View | None = None
    brings_service: bool = False
    conditions: tuple[Condition, ...] = ()
    look_again: float = math.inf
    faults: tuple[str, ...] = ()

    @property
    def joining(self) -> tuple[str, ...]:
        """The clusters that are about to export: bound to both objects, and these are on their way."""
        return tuple(name for name, why in self.excluded.items() if why.reason in _ON_THE_WAY)


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
    excluded, candidates = _candidates(service, fleet.members, taken, now)
    judged = _standing(service, candidates, now)
    excluded.update((name, Exclusion(ExclusionReason.UNREACHABLE)) for name in judged.withdrawn)
    ordered = _oldest_first(service, (e for e in candidates if e.member.name not in judged.withdrawn))
    exporters = of_one_type(ordered)
    if len(exporters) < len(ordered):
        names_left = {e.member.name for e in ordered} - {e.member.name for e in exporters}
        excluded.update((name, Exclusion(ExclusionReason.TYPE_CONFLICT)) for name in names_left)
    united = merge_ports(exporters)
    stale, until = _stale(service, exporters, now)
    late = late_cache.catching_up(fleet.members, {**service.kept, **_obstacles(service)}, now)
    faults = (*service.faults, *_kept(service, fleet, late))
    names = tuple(e.member.name for e in exporters)
    everything = view_of(united, names)
    importers = _importers(service, fleet)
    views = _views(importers, exporters, united, everything, fleet)
    return Derived(
        names,
        dict(sorted(excluded.items())),
        views,
        everything,
        not fleet.with_data_path.isdisjoint(views),
        (
            conditions.valid(
                service,
                names,
                excluded,
                taken.get(EVERYWHERE),
                _twins(names, fleet),
                stale,
                out_of_scope=() if views else _others(importers, names, fleet),
                lost=_lost(service, exporters),
                without_namespace=_without_namespace(service, fleet) if names else (),
                faults=faults,
            ),
            conditions.conflict(disagreements(ordered, united.clashes, lost)),
        ),
        min(judged.look_again, until, late_cache.caught_up_at(late.values())),
        faults,
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
    if member.name in released(service.annotations):
        return NotImportedReason.RELEASED
    others = [members[name] for name in derived.exporters if name != member.name]
    if not derived.exporters:
        return NotImportedReason.NO_EXPORTER
    if not others:
        return NotImportedReason.ONLY_EXPORTER
    if not any(in_scope(service.offers[other.name].export, member.key) for other in others):
        return NotImportedReason.OUT_OF_SCOPE
    return NotImportedReason.PORTS_CLASH


def _stale(service: ExportedService, exporters: Iterable[Exporter], now: float) -> tuple[list[str], float]:
    """Return the exporters that hold another version of the export for too long, and when the next will."""
    reached = (e.member.name for e in exporters if e.member.unreachable_since is None)
    due = {name: service.stale[name] + STALE_SECONDS for name in reached if name in service.stale}
    late = sorted(name for name, when in due.items() if now >= when)
    return late, min((when for when in due.values() if now < when), default=math.inf)


def _obstacles(service: ExportedService) -> dict[str, str]:
    return {name: offer.obstacle for name, offer in service.offers.items() if offer.obstacle}


def _kept(service: ExportedService, fleet: Fleet, late: Container[str]) -> list[str]:
    """Return a fault for each cluster that keeps an older version, unless its loss or return is the cause."""
    return [
        f"Cluster {name} keeps an older version and exports it. {why.rstrip('. ')}."
        for name, why in sorted(service.kept.items())
        if name not in late and not _is_lost(fleet.members.get(name))
    ]


def _is_lost(member: Member | None) -> bool:
    return member is not None and member.unreachable_since is not None


def _lost(service: ExportedService, exporters: Iterable[Exporter]) -> list[str]:
    """Return the exporters that Karmada cannot reach, each with since when, and until when it is kept."""
    wait = grace(service.annotations.get(WHEN_UNREACHABLE, ""))
    allowed = DEFAULT_GRACE if wait is None else wait
    since = {e.member.name: e.member.unreachable_since for e in exporters}
    return [
        f"{name} ({ChainReason.EXPORTER_LOST.value} {kept_until(when, allowed)})"
        for name, when in sorted(since.items())
        if when is not None
    ]


def _without_namespace(service: ExportedService, fleet: Fleet) -> list[str]:
    """Return the members that would import if they had the namespace."""
    if service.namespaced is None:
        return []
    absent = set(fleet.importers[service.key.dialect]).difference(service.namespaced)
    return sorted(absent.difference(released(service.annotations)))


def _twins(exporters: Sequence[str], fleet: Fleet) -> list[tuple[str, ...]]:
    """Return the names of each exporting cluster that has joined under several names."""
    return [same for same in fleet.joined_twice if not set(same).isdisjoint(exporters)]


def _others(importers: Iterable[str], exporters: Sequence[str], fleet: Fleet) -> list[str]:
    """Return the keys of the clusters that could import from another cluster."""
    return [fleet.members[name].key for name in importers if exporters and (name,) != tuple(exporters)]


def exporters_of(service: ExportedService, names: Iterable[str], fleet: Fleet) -> list[Exporter]:
    """Return what clusters put into the views of others; ``names`` are those of a Derived's exporters."""
    return [
        exporter(fleet.members[name], offer.export, offer.service)
        for name in names
        if (offer := service.offers[name]).service is not None
    ]


def _candidates(
    service: ExportedService, members: Mapping[str, Member], taken: Mapping[str, Exclusion], now: float
) -> tuple[dict[str, Exclusion], list[Exporter]]:
    """Judge each cluster: why it does not export, or what it offers."""
    excluded, candidates = {}, []
    for name, offer in service.offers.items():
        member = members.get(name)
        reason = why_not_exporting(
            member, offer, taken.get(EVERYWHERE), taken.get(name), service.path_root, now
        )
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

    def can_go(cluster: str, others: frozenset[str]) -> bool:
        return can_replace(_oldest_first(service, (by_name[other] for other in others)), by_name[cluster])

    return standing(lost, DEFAULT_GRACE if wait is None else wait, now, can_go)


def _oldest_first(service: ExportedService, exporters: Iterable[Exporter]) -> list[Exporter]:
    def age(exporter: Exporter) -> tuple[str, str]:
        return (service.offers[exporter.member.name].created or service.created, exporter.member.key)

    return sorted(exporters, key=age)


def _importers(service: ExportedService, fleet: Fleet) -> Sequence[str]:
    """Return the members that can have the import ("importer rule")."""
    serving = fleet.importers[service.key.dialect]
    left_to_others = released(service.annotations)
    if service.namespaced is None and not left_to_others:
        return serving
    spaced = serving if service.namespaced is None else (n for n in serving if n in service.namespaced)
    return [name for name in spaced if name not in left_to_others]


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

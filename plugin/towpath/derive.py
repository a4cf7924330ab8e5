"""World in, what every cluster should import out: one pure function, and the same for one service.

The result depends on nothing but the world: not on the order in which things were seen, not on what
was derived before. That is what makes a restart, a missed event and a first start the same thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from towpath.model.cluster import Member
from towpath.model.keys import ServiceKey
from towpath.model.view import View
from towpath.model.world import ExportedService, World
from towpath.rules.eligibility import why_not_exporting
from towpath.rules.ports import Exporter, exporter, unite, view_of
from towpath.rules.reasons import Excluded
from towpath.rules.scope import in_scope


@dataclass(frozen=True)
class Derived:
    """One service: its exporters, why the others are none, and the view of each importing cluster.

    ``everything`` is the view of a cluster that exports nothing and is in every scope; None if there
    are no exporters.
    """

    exporters: tuple[str, ...] = ()
    excluded: Mapping[str, Excluded] = field(default_factory=dict)
    views: Mapping[str, View] = field(default_factory=dict)
    everything: View | None = None


@dataclass(frozen=True)
class Derivation:
    """The derivation of every service of a world."""

    services: Mapping[ServiceKey, Derived]


def derive(world: World) -> Derivation:
    """Derive every service of the world."""
    return Derivation({key: derive_service(s, world.members) for key, s in world.services.items()})


def derive_service(service: ExportedService, members: Mapping[str, Member]) -> Derived:
    """Derive one service: what the controller does when something about it has changed."""
    exporters, excluded = _exporters(service, members)
    united = unite(exporters)
    seen: dict[frozenset[str], View | None] = {}
    views = {}
    for name, member in sorted(members.items()):
        if service.key.dialect not in member.imports:
            continue
        others = frozenset(
            e.member.name for e in exporters if e.member.name != name and in_scope(e.export, member.key)
        )
        # Clusters that export nothing mostly see the same, and there are many of them.
        if others not in seen:
            seen[others] = view_of(united, others)
        view = seen[others]
        if view is not None:
            views[name] = view
    names = tuple(e.member.name for e in exporters)
    return Derived(names, excluded, views, everything=view_of(united, names))


def _exporters(
    service: ExportedService, members: Mapping[str, Member]
) -> tuple[list[Exporter], dict[str, Excluded]]:
    """Return the exporting clusters by cluster key, and why the other clusters are none."""
    excluded: dict[str, Excluded] = {}
    exporters: list[Exporter] = []
    for name, offer in sorted(service.offers.items()):
        member = members.get(name)
        reason = why_not_exporting(member, offer)
        if reason is not None:
            excluded[name] = reason
        elif member is not None and offer.service is not None:
            exporters.append(exporter(member, offer.export, offer.service))
    return sorted(exporters, key=lambda e: e.member.key), excluded

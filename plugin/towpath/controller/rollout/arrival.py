"""How the import of a service arrives in the members that should have it, from what members report.

What members report counts, not what Karmada says that it sent (lost write, silent override failure): each
copy carries the digest of its view, Karmada reflects the digest into the binding, and it is compared with the
derived one. Exporters that do not answer calls, and gateways that do not serve the service, are part of it.

No I/O and no clock. ``decide`` judges what is late, and the status of the export states the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from towpath.derivation.derive import Derived
from towpath.derivation.render import Rendered
from towpath.derivation.routes import Routes
from towpath.derivation.user_overrides import import_overrides
from towpath.inventory.snapshot import Reports, RouteState
from towpath.model.arrival import Arrival
from towpath.model.cluster import Fleet
from towpath.rules.gateway_route import RouteKind
from towpath.rules.reasons import RouteReason
from towpath.rules.serving import unserved
from towpath.text import several


def behind(wanted: Mapping[str, str], reported: Mapping[str, str]) -> tuple[str, ...]:
    """Return the clusters, sorted, that do not report the digest of the view derived for them."""
    if wanted.items() <= reported.items():
        return ()  # as nearly always, and this comparison is ten times as fast
    return tuple(sorted(name for name, digest in wanted.items() if reported.get(name) != digest))


def arrival_of(reports: Reports, fleet: Fleet, derived: Derived, wanted: Rendered, routes: Routes) -> Arrival:
    """Return how the import of a service arrives, and which of its exporters can be called."""
    imports = reports.imports
    copies = imports.binding.copies
    overridden = import_overrides(wanted, imports.overrides, imports.targets) if imports.overrides else ()
    return Arrival(
        behind(wanted.digests, copies.digests),
        imports.lost,
        copies.failed,
        imports.catching_up,
        reported=imports.reflecting,
        taken_by=imports.taken_by,
        claimed_by=str(imports.claim or ""),
        overridden={effect.cluster: several(effect.policies) for effect in overridden},
        unrouted=_unrouted(routes, reports.routes, imports.lost),
        unserved=unserved(
            fleet.members, derived.exporters, derived.views, reports.unready, copies.unanswered
        ),
    )


def _unrouted(
    routes: Routes, states: Mapping[RouteKind, RouteState], lost: Collection[str]
) -> Mapping[str, tuple[str, str]]:
    """Return the exporters whose own gateway does not serve the service: the reason, and what is known of it.

    What Karmada cannot reach is told as that, and not here.
    """
    found: dict[str, tuple[str, str]] = {name: (reason, "") for name, reason in routes.problems.items()}
    for kind, specs in routes.specs.items():
        found |= {name: why for name in specs for why in _why_not_served(states[kind], name, routes)}
    return {name: why for name, why in found.items() if name not in lost}


def _why_not_served(state: RouteState, cluster: str, routes: Routes) -> Iterator[tuple[str, str]]:
    copies = state.binding.copies
    if state.is_taken:
        yield RouteReason.NAME_IN_USE, ""
    elif cluster in copies.failed:
        yield RouteReason.NOT_APPLIED, copies.failed[cluster]
    elif cluster in copies.refused:
        yield RouteReason.NOT_ACCEPTED, copies.refused[cluster]
    elif cluster not in copies.accepted:
        yield RouteReason.NOT_SERVED if cluster in routes.without_kind else RouteReason.PENDING, ""

"""Routes on the gateways that members have of their own: what a pass does about them.

``derivation.routes`` says what they hold. They are written before the import that leads to them, and what
Karmada reports of them becomes part of the condition Ready.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from towpath.controller.decision import Decision
from towpath.derivation.routes import NO_ROUTES, Routes, route_stages, routes_of
from towpath.inventory.snapshot import RouteState, Snapshot
from towpath.rules.reasons import RouteReason


def wanted(snapshot: Snapshot) -> Routes:
    """Return the routes that the service should have."""
    service, derived = snapshot.service, snapshot.derived
    if service is None or derived is None:
        return NO_ROUTES
    return routes_of(service, derived, snapshot.fleet)


def decide(snapshot: Snapshot, uid: str, routes: Routes, *, arrived: bool = True) -> Decision:
    """Decide. ``uid`` is the ServiceExport's; ``arrived``: members have the import that is derived now."""
    stages = (
        stage
        for kind, state in snapshot.routes.items()
        if not state.is_taken
        for stage in route_stages(
            snapshot.key, uid, kind, routes.specs.get(kind, {}), state.live, arrived=arrived
        )
    )
    return Decision(stages=tuple(stages))


def unrouted(snapshot: Snapshot, routes: Routes) -> Mapping[str, tuple[str, str]]:
    """Return the exporters whose own gateway does not serve the service: the reason, and what is known of it.

    What Karmada cannot reach is told as that, and not here.
    """
    found: dict[str, tuple[str, str]] = {name: (reason, "") for name, reason in routes.problems.items()}
    for kind, specs in routes.specs.items():
        state = snapshot.routes[kind]
        found |= {name: why for name in specs for why in _why_not_served(state, name)}
    return {name: why for name, why in found.items() if name not in snapshot.imports.lost}


def _why_not_served(state: RouteState, cluster: str) -> Iterator[tuple[str, str]]:
    copies = state.binding.copies
    if state.is_taken:
        yield RouteReason.NAME_IN_USE, ""
    elif cluster in copies.failed:
        yield RouteReason.NOT_APPLIED, copies.failed[cluster]
    elif cluster in copies.refused:
        yield RouteReason.NOT_ACCEPTED, copies.refused[cluster]
    elif cluster not in copies.accepted:
        yield RouteReason.PENDING, ""

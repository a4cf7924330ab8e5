"""Routes on the gateways that members have of their own: what a pass does about them.

``derivation.routes`` says what they hold. They are written before the import that leads to them. What Karmada
reports of them is read in ``rollout.arrival``.
"""

from __future__ import annotations

from towpath.controller.decision import Decision
from towpath.derivation.routes import Routes, route_stages
from towpath.inventory.snapshot import Snapshot


def decide(snapshot: Snapshot, uid: str, routes: Routes, *, arrived: bool = True) -> Decision:
    """Decide. ``uid`` is the ServiceExport's; ``arrived``: members have the import that is derived now."""
    stages = (
        stage
        for kind, state in snapshot.routes.items()
        if not state.is_taken
        for stage in route_stages(snapshot.key, uid, kind, routes, state.live, arrived=arrived)
    )
    return Decision(stages=tuple(stages))

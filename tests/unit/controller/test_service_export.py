"""A namespace that is being deleted: nothing is written into it, and what was in it is forgotten."""

from __future__ import annotations

from tests.support.inventories import NoCalls, clusters, exported, forget, knowing, tell
from towpath.controller.metrics import Metrics
from towpath.controller.service_export import Reconciler
from towpath.model.keys import Dialect, ServiceKey

KEY = ServiceKey(Dialect.FLOMESH, "shop", "web")
GOING = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": "shop", "deletionTimestamp": "2026-01-01T00:00:00Z"},
}


async def test_what_was_on_its_way_does_not_count_any_more() -> None:
    export, *rest = exported("web", "a")
    inventory = knowing(*clusters("a", "b"), export, *rest)
    reconciler = Reconciler(
        NoCalls(),  # type: ignore[arg-type]
        inventory,
        Metrics(),
        is_idle=lambda: True,
        may_write=lambda: True,
    )
    convergence = reconciler.arriving.convergence
    convergence.look(KEY, {"b": "1"}, {}, (), now=0.0)
    tell(inventory, GOING)

    assert await reconciler.reconcile(KEY) is None
    assert KEY in convergence.lagging
    forget(inventory, export)
    assert await reconciler.reconcile(KEY) is None
    assert not convergence.lagging

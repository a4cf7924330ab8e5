"""Passes over a service whose exporters have gateways of their own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.inventories import (
    Object,
    annotated,
    binding,
    cluster,
    deleting,
    export,
    exported,
    forget,
    key,
    knowing,
    tell,
)
from towpath.controller import gateway_route
from towpath.controller.decision import Collect, Decision
from towpath.controller.rollout.arrival import arrival_of
from towpath.controller.service_export import ServiceExports
from towpath.derivation.render import Rendered
from towpath.derivation.routes import Routes, routes_of
from towpath.inventory.inventory import Inventory
from towpath.inventory.snapshot import Snapshot
from towpath.inventory.take import take
from towpath.rules.gateway_route import RouteKind
from towpath.rules.reasons import RouteReason

NOW = 1_800_000_000.0
API = "gateway.networking.k8s.io/v1"
FLEET = [annotated(cluster("a"), **{"gateway-route": "HTTPRoute/infra/public"}), cluster("b"), cluster("c")]
ACCEPTED = [{"type": "Accepted", "status": "True"}, {"type": "ResolvedRefs", "status": "True"}]


def carried(*more: Object) -> Inventory:
    """Return an inventory in which the route of ``web`` on ``a`` has been written."""
    inventory = knowing(*FLEET, *exported("web", "a", "b"), *more)
    snapshot = look(inventory)
    for stage in gateway_route.decide(snapshot, "uid-of-web", wanted(snapshot)).stages:
        for write in stage:
            assert write.wanted is not None
            meta = {**write.wanted["metadata"], "uid": "uid-of-route"}
            tell(inventory, {**write.wanted, "metadata": meta})
    return inventory


def wanted(snapshot: Snapshot) -> Routes:
    assert snapshot.service is not None
    assert snapshot.derived is not None
    return routes_of(snapshot.service, snapshot.derived, snapshot.fleet)


def look(inventory: Inventory) -> Snapshot:
    return take(inventory, key(), NOW, idle=True)


def decided(inventory: Inventory, after: float = 0.0) -> Decision:
    exports = ServiceExports()
    exports.decide(take(inventory, key(), NOW, idle=True))
    return exports.decide(take(inventory, key(), NOW + after, idle=True))


def reporting(*parents: Any) -> Object:
    """Return the binding of the route; ``parents`` are the conditions that its gateway writes."""
    meta = {"name": "towpath-httproute-web", "namespace": "shop", "uid": "uid-of-route"}
    route = {"apiVersion": API, "kind": "HTTPRoute", "metadata": meta}
    return binding(route, "a", reported={"a": {"parents": [{"conditions": list(p)} for p in parents]}})


def unrouted(inventory: Inventory) -> dict[str, tuple[str, str]]:
    snapshot = look(inventory)
    assert snapshot.derived is not None
    arrival = arrival_of(snapshot.reports, snapshot.fleet, snapshot.derived, Rendered(), wanted(snapshot))
    return dict(arrival.unrouted)


def test_a_route_is_written_before_the_import() -> None:
    stages = decided(knowing(*FLEET, *exported("web", "a", "b"))).stages
    kinds = [[(write.wanted or {})["kind"] for write in stage] for stage in stages]
    assert kinds[:2] == [["PropagationPolicy"], ["HTTPRoute"]]
    assert kinds[-1] == ["ServiceImport"]


def test_what_is_there_is_not_written_again() -> None:
    snapshot = look(carried())
    assert not gateway_route.decide(snapshot, "uid-of-web", wanted(snapshot)).stages


@pytest.mark.parametrize(
    ("parents", "why"),
    [
        ((), {"a": (RouteReason.PENDING, "")}),
        ((ACCEPTED,), {}),
        (
            ([{"type": "Accepted", "status": "False", "message": "Not allowed by any listener."}],),
            {"a": (RouteReason.NOT_ACCEPTED, "Not allowed by any listener.")},
        ),
        (
            ([ACCEPTED[0], {"type": "ResolvedRefs", "status": "False", "reason": "BackendNotFound"}],),
            {"a": (RouteReason.NOT_ACCEPTED, "ResolvedRefs")},
        ),
    ],
)
def test_what_the_gateway_reports_is_told(parents: Any, why: dict[str, tuple[str, str]]) -> None:
    assert unrouted(carried(reporting(*parents))) == why


def test_a_cluster_gets_a_route_once_it_serves_the_kind() -> None:
    """Karmada's scheduler drops a route that no cluster serves, and does not look again."""
    asked = {"gateway-route": "HTTPRoute/infra/public"}
    bare = annotated(cluster("a", routes=[RouteKind.INGRESS]), **asked)
    inventory = knowing(bare, *FLEET[1:], *exported("web", "a", "b"))
    assert not gateway_route.decide(look(inventory), "uid-of-web", wanted(look(inventory))).stages
    assert unrouted(inventory) == {"a": (RouteReason.NOT_SERVED, "")}

    tell(inventory, FLEET[0])
    stages = gateway_route.decide(look(inventory), "uid-of-web", wanted(look(inventory))).stages
    kinds = [[(write.wanted or {})["kind"] for write in stage] for stage in stages]
    assert kinds == [["PropagationPolicy"], ["HTTPRoute"]]
    assert unrouted(inventory) == {"a": (RouteReason.PENDING, "")}


def test_a_route_that_is_served_stays_without_word_of_its_kind() -> None:
    """What Karmada knows of a member may be incomplete for a while."""
    inventory = carried(reporting(ACCEPTED))
    tell(inventory, annotated(cluster("a", routes=()), **{"gateway-route": "HTTPRoute/infra/public"}))
    assert unrouted(inventory) == {}
    assert not gateway_route.decide(look(inventory), "uid-of-web", wanted(look(inventory))).stages


def test_a_policy_of_a_user_with_the_name_is_a_reason() -> None:
    policy = {
        "apiVersion": "policy.karmada.io/v1alpha1",
        "kind": "PropagationPolicy",
        "metadata": {"name": "towpath-httproute-web", "namespace": "shop", "uid": "u"},
        "spec": {"resourceSelectors": [{"apiVersion": "v1", "kind": "ConfigMap"}]},
    }
    inventory = knowing(*FLEET, *exported("web", "a", "b"), policy)
    assert unrouted(inventory) == {"a": (RouteReason.NAME_IN_USE, "")}
    snapshot = look(inventory)
    assert not gateway_route.decide(snapshot, "uid-of-web", wanted(snapshot)).stages


def test_an_export_on_its_way_out_takes_its_route_along() -> None:
    inventory = carried()
    tell(inventory, deleting(export("web", finalizers=["somebody/waits"])))
    kinds = [
        obj["kind"] for stage in decided(inventory).stages for obj, wanted in stage if obj and not wanted
    ]
    assert kinds == ["HTTPRoute"]


def test_what_an_orphaning_deletion_leaves_is_collected() -> None:
    inventory = carried()
    forget(inventory, exported("web")[0])
    steps = [step for step in decided(inventory, 3600.0).steps if isinstance(step, Collect)]
    assert [write.live["kind"] for step in steps for write in step.writes if write.live] == ["HTTPRoute"]

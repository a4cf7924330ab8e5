"""Answers without a plugin equal the answers of a plugin."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.inventories import (
    annotated,
    carry,
    claimed,
    cluster,
    clusters,
    export,
    exported,
    key,
    knowing,
    propagation,
    tell,
)
from tests.support.plugins import serving
from towpath.errors import NotFound
from towpath.inventory.inventory import Inventory
from towpath.proto.v1alpha1 import inventory_pb2 as pb
from towpath.proto.v1alpha1.inventory_pb2_grpc import InventoryStub
from towpath.proto.v1alpha1.planner_pb2 import ExplainRequest
from towpath.proto.v1alpha1.planner_pb2_grpc import PlannerStub
from towpath.review import stored
from towpath.rpc import direct

pytestmark = pytest.mark.timeout(30)


@pytest.fixture
def inventory() -> Inventory:
    """Return a fleet in which a member is drained, one service is in place, and another is not."""
    made = knowing(*clusters("a", "b"), annotated(cluster("c"), drain="true"), *exported("web", "a", "c"))
    carry(made)
    tell(made, *exported("late", "a", "b"))
    return made


async def test_a_plugin_and_the_apiserver_give_one_answer(tmp_path: Path, inventory: Inventory) -> None:
    read = direct.reading(inventory)
    async with serving(tmp_path / "s", inventory) as channel:
        listing, planner = InventoryStub(channel), PlannerStub(channel)
        services = await listing.ListServices(pb.ListServicesRequest(namespace="shop"))
        members = await listing.ListClusters(pb.ListClustersRequest())
        explained = (await planner.Explain(ExplainRequest(namespace="shop", name="web"))).explanation
    assert [(s.name, s.state, s.first.reason) for s in services.services] == [
        ("late", "Broken", "NotWritten"),
        ("web", "LeftOut", "Drained"),
    ]
    assert direct.list_services(read, "shop") == services
    assert direct.list_clusters(read) == members
    assert direct.explain(read, "shop", "web") == explained
    assert explained.state == "LeftOut"
    assert explained.first in explained.chain


def test_a_name_that_does_not_exist_gets_a_similar_one(inventory: Inventory) -> None:
    with pytest.raises(NotFound, match="Did you mean shop/web"):
        direct.explain(direct.reading(inventory), "shop", "wbe")


def test_the_status_tells_what_the_plugin_withholds() -> None:
    ready = {
        "type": "Ready",
        "status": "False",
        "reason": "WithdrawalWithheld",
        "lastTransitionTime": "2027-01-15T07:59:00Z",
    }
    reported = {**export(), "status": {"conditions": [ready]}}
    inventory = knowing(*clusters("a", "b"), claimed(reported, propagation("user")))
    assert stored.withheld(inventory) == {key(): ""}
    assert stored.pending_since(inventory, key()) == 1_799_999_940.0
    assert stored.withheld(knowing(export())) == {}
    assert stored.pending_since(knowing(export()), key()) is None

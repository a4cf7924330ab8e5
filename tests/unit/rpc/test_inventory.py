"""The service Inventory over a real socket: lists, and a service that changes while a client watches it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from tests.support.inventories import (
    binding,
    cluster,
    clusters,
    export,
    exported,
    forget,
    knowing,
    service,
    tell,
)
from tests.support.plugins import refusal, server, serving
from tests.support.waiting import until
from towpath.inventory.inventory import Inventory
from towpath.model.keys import Dialect
from towpath.proto.v1alpha1 import inventory_pb2 as pb
from towpath.proto.v1alpha1.inventory_pb2_grpc import InventoryStub
from towpath.proto.v1alpha1.service_pb2 import Explanation
from towpath.review.explanation import Explainer
from towpath.rpc.inventory import InventoryServicer
from towpath.traffic.meter import Meter

pytestmark = pytest.mark.timeout(30)
FLEET = clusters("a", "b", "c")
WEB = exported("web", "a", "b")
NEW = export("cart", version=Dialect.MULTICLUSTER.api_version)
NO_CONTEXT: Any = None
"""What a list never asks for."""


@pytest.fixture
def inventory() -> Inventory:
    return knowing(*FLEET, *WEB)


@pytest.fixture
async def stub(tmp_path: Path, inventory: Inventory) -> AsyncIterator[InventoryStub]:
    async with serving(tmp_path / "s", inventory) as channel:
        yield InventoryStub(channel)


class Watch:
    """A client that watches a service."""

    def __init__(self, stub: InventoryStub, name: str = "web", dialect: str = "") -> None:
        request = pb.WatchServiceRequest(namespace="shop", name=name, dialect=dialect)
        self.call = stub.WatchService(request)
        self._answers = aiter(self.call)

    async def next(self) -> Explanation:
        async with asyncio.timeout(10):
            return (await anext(self._answers)).explanation

    async def exporters(self) -> list[str]:
        return [exporter.cluster for exporter in (await self.next()).exporters]


async def test_services_are_listed_in_short(tmp_path: Path) -> None:
    other = export("api", namespace="other")
    async with serving(tmp_path / "s", knowing(*FLEET, *WEB, NEW, other)) as channel:
        stub = InventoryStub(channel)
        everything = await stub.ListServices(pb.ListServicesRequest())
        shop = await stub.ListServices(pb.ListServicesRequest(namespace="shop"))
        none = await stub.ListServices(pb.ListServicesRequest(namespace="x"))
    assert [f"{service.namespace}/{service.name}" for service in everything.services] == [
        "other/api",
        "shop/cart",
        "shop/web",
    ]
    cart, web = shop.services
    assert (web.dialect, [*web.exporters], web.importers) == ("flomesh.io", ["a", "b"], 3)
    stated = {c.type: c.status for c in web.conditions}
    assert stated == {"Valid": "True", "Conflict": "False", "Ready": "Unknown"}
    assert (cart.dialect, [*cart.exporters], cart.importers) == ("multicluster.flomesh.io", [], 0)
    assert not none.services


async def test_a_list_of_many_lets_others_have_a_turn() -> None:
    many = [obj for number in range(400) for obj in exported(f"web-{number}", "a", "b")]
    inventory = knowing(*FLEET, *many)
    servicer = InventoryServicer(inventory, Explainer(inventory), Meter(), lambda: True)
    call = asyncio.ensure_future(servicer.ListServices(pb.ListServicesRequest(), NO_CONTEXT))
    turns = 0
    while not call.done():
        turns += 1
        await asyncio.sleep(0)
    assert len((await call).services) == 400
    assert turns >= 20


async def test_a_service_is_reported_now_and_at_every_change(
    stub: InventoryStub, inventory: Inventory
) -> None:
    watch = Watch(stub)
    assert await watch.exporters() == ["a", "b"]
    tell(inventory, binding(WEB[1], "a"))
    assert await watch.exporters() == ["a"]
    tell(inventory, cluster("d"))
    assert [importer.cluster for importer in (await watch.next()).importers] == ["b", "c", "d"]
    tell(inventory, {**WEB[0], "spec": {"rules": [{"portNumber": 80, "path": "/new"}]}})
    assert (await watch.next()).importers[0].ports[0].endpoints[0].path == "/new"


async def test_a_member_that_imports_nothing_is_news_too(stub: InventoryStub, inventory: Inventory) -> None:
    watch = Watch(stub)
    await watch.next()
    tell(inventory, cluster("bare", serves=[]))
    assert [(idle.cluster, idle.reason) for idle in (await watch.next()).not_importing] == [
        ("bare", "NotServed")
    ]


async def test_an_event_without_change_is_not_sent(stub: InventoryStub, inventory: Inventory) -> None:
    watch = Watch(stub)
    await watch.next()
    tell(inventory, *exported("other", "a"))  # another service
    tell(inventory, service("web", {"port": 80, "nodePort": 30080}))  # what says nothing to an import
    tell(inventory, cluster("a"))
    tell(inventory, binding(WEB[1], "b"))
    assert await watch.exporters() == ["b"], "something came in between"


async def test_time_alone_is_a_change_too(stub: InventoryStub, inventory: Inventory) -> None:
    """The grace of a cluster that Karmada has lost ends while a client watches."""
    lost = cluster("a")
    now = time.time()
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    lost["status"]["conditions"] = [{"type": "Ready", "status": "False", "lastTransitionTime": since}]
    grace = {"towpath.io/when-unreachable": "WithdrawAfter=2s"}
    tell(inventory, export(annotations=grace), lost)
    watch = Watch(stub)
    assert await watch.exporters() == ["a", "b"]
    assert await watch.exporters() == ["b"]


async def test_a_slow_reader_gets_many_changes_as_one(stub: InventoryStub, inventory: Inventory) -> None:
    watch = Watch(stub)
    await watch.next()
    for number in range(500):
        tell(inventory, export("web", (80, f"/{number}")))
    seen = 0
    while True:
        last = await watch.next()
        seen += 1
        if last.importers[0].ports[0].endpoints[0].path == "/499":
            break
    assert seen < 500


async def test_a_stream_ends_when_the_export_goes(stub: InventoryStub, inventory: Inventory) -> None:
    watch = Watch(stub)
    await watch.next()
    forget(inventory, WEB[0])
    with pytest.raises(grpc.aio.AioRpcError, match=r"ServiceExport shop/web has been deleted") as caught:
        await watch.next()
    assert refusal(caught.value) == (grpc.StatusCode.NOT_FOUND, "EXPORT_GONE", {})


@pytest.mark.parametrize(
    ("name", "dialect", "refused"),
    [
        ("webb", "", (grpc.StatusCode.NOT_FOUND, "NO_SUCH_EXPORT", {})),
        ("web", "multicluster.flomesh.io", (grpc.StatusCode.NOT_FOUND, "NO_SUCH_EXPORT", {})),
        (
            "",
            "",
            (
                grpc.StatusCode.INVALID_ARGUMENT,
                "INVALID_REQUEST",
                {"name": "name: The field is required. Set it."},
            ),
        ),
    ],
)
async def test_services_that_cannot_be_watched(
    stub: InventoryStub, name: str, dialect: str, refused: tuple[object, ...]
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await Watch(stub, name, dialect).next()
    assert refusal(caught.value) == refused


async def test_watchers_are_notified_that_the_plugin_stops(tmp_path: Path, inventory: Inventory) -> None:
    async with grpc.aio.insecure_channel(f"unix:{tmp_path / 's'}") as channel:
        made = server(inventory, tmp_path / "s")
        async with made:
            made.in_sync()
            watch = Watch(InventoryStub(channel))
            await watch.next()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await watch.next()
    assert refusal(caught.value)[:2] == (grpc.StatusCode.UNAVAILABLE, "STOPPING")
    assert not inventory.world.listeners


async def test_a_deleted_service_is_forgotten(stub: InventoryStub, inventory: Inventory) -> None:
    [listener] = inventory.world.listeners
    followers = listener.__self__._watchers  # type: ignore[attr-defined]
    watch, other = Watch(stub), Watch(stub)
    await watch.next()
    await other.next()
    assert [len(watchers) for watchers in followers.values()] == [2]
    watch.call.cancel()
    other.call.cancel()

    async def left() -> object:
        return dict(followers)

    assert await until(left, lambda watchers: not watchers) == {}


async def test_before_the_world_is_known_nothing_is_reported(tmp_path: Path, inventory: Inventory) -> None:
    path = tmp_path / "s"
    async with server(inventory, path), grpc.aio.insecure_channel(f"unix:{path}") as channel:
        stub = InventoryStub(channel)
        for call in (
            Watch(stub).next(),
            stub.ListServices(pb.ListServicesRequest()),
            stub.ListClusters(pb.ListClustersRequest()),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert refusal(caught.value) == (grpc.StatusCode.UNAVAILABLE, "NOT_IN_SYNC", {})

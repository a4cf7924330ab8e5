"""The stream of the whole cluster set over a real socket: everything once, then what changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest

from tests.support.inventories import binding, cluster, clusters, exported, forget, knowing, tell
from tests.support.plugins import refusal, server, serving
from towpath.errors import Unreachable
from towpath.inventory.inventory import Inventory
from towpath.proto.v1alpha1 import inventory_pb2 as pb
from towpath.proto.v1alpha1.inventory_pb2_grpc import InventoryStub
from towpath.review.explanation import Explainer
from towpath.rpc import client, fleet
from towpath.traffic.meter import Meter

pytestmark = pytest.mark.timeout(60)
WEB = exported("web", "a", "b")


@pytest.fixture
def inventory() -> Inventory:
    return knowing(*clusters("a", "b", "c"), *WEB)


@pytest.fixture
async def stub(tmp_path: Path, inventory: Inventory) -> AsyncIterator[InventoryStub]:
    async with serving(tmp_path / "s", inventory) as channel:
        yield InventoryStub(channel)


class Watch:
    """What a client knows of the cluster set."""

    def __init__(self, stub: InventoryStub) -> None:
        self._parts = aiter(stub.WatchFleet(pb.WatchFleetRequest()))
        self.clusters: dict[str, str] = {}
        self.services: dict[str, pb.FleetService] = {}
        self.parts: list[pb.WatchFleetResponse] = []

    async def next(self) -> pb.WatchFleetResponse:
        async with asyncio.timeout(30):
            part = await anext(self._parts)
        self.parts.append(part)
        self.clusters |= {c.name: c.state for c in part.clusters}
        self.services |= {s.summary.name: s for s in part.services}
        for name in part.gone_clusters:
            del self.clusters[name]
        for gone in part.gone_services:
            del self.services[gone.name]
        return part

    async def complete(self) -> None:
        while not (await self.next()).complete:
            pass


async def test_first_everything_and_then_what_changes(stub: InventoryStub, inventory: Inventory) -> None:
    watch = Watch(stub)
    await watch.complete()
    assert watch.clusters == {"a": "Ready", "b": "Ready", "c": "Ready"}
    web = watch.services["web"]
    assert ([*web.summary.exporters], [*web.importing]) == (["a", "b"], ["a", "b", "c"])
    assert [*web.behind] == ["a", "b", "c"], "no member has reported anything"

    tell(inventory, binding(WEB[1], "a"))
    part = await watch.next()
    assert [s.summary.name for s in part.services] == ["web"]
    assert not part.clusters
    assert [*watch.services["web"].summary.exporters] == ["a"]
    assert watch.services["web"].revision != web.revision


async def test_members_and_services_come_and_go(stub: InventoryStub, inventory: Inventory) -> None:
    watch = Watch(stub)
    await watch.complete()
    gone = cluster("c")
    tell(inventory, cluster("d"), *exported("api", "a"))
    while "d" not in watch.clusters or "api" not in watch.services:
        await watch.next()
    forget(inventory, gone)
    forget(inventory, WEB[0])
    while "c" in watch.clusters or "web" in watch.services:
        await watch.next()
    assert watch.services.keys() == {"api"}
    assert [*watch.services["api"].importing] == ["b", "d"]


async def test_what_says_nothing_new_is_not_sent(stub: InventoryStub, inventory: Inventory) -> None:
    watch = Watch(stub)
    await watch.complete()
    tell(inventory, binding(WEB[1], "a", "b"), cluster("a"))
    tell(inventory, *exported("api", "a"))
    while "api" not in watch.services:
        await watch.next()
    sent = [s.summary.name for part in watch.parts for s in part.services]
    assert sent == ["web", "api"]


async def test_many_changes_are_sent_as_one(stub: InventoryStub, inventory: Inventory) -> None:
    watch = Watch(stub)
    await watch.complete()
    for _ in range(50):
        tell(inventory, binding(WEB[1], "a"))
        tell(inventory, binding(WEB[1], "a", "b"))
    tell(inventory, binding(WEB[1], "b"))
    while [*watch.services["web"].summary.exporters] != ["b"]:
        await watch.next()
    sent = [s for part in watch.parts for s in part.services]
    assert len(sent) == 2


async def test_the_end_of_a_grace_is_a_change(stub: InventoryStub, inventory: Inventory) -> None:
    lost = cluster("a")
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    lost["status"]["conditions"] = [{"type": "Ready", "status": "False", "lastTransitionTime": since}]
    grace = {"towpath.io/when-unreachable": "WithdrawAfter=2s"}
    annotated = {**WEB[0], "metadata": {**WEB[0]["metadata"], "annotations": grace}}
    tell(inventory, annotated, lost)
    watch = Watch(stub)
    await watch.complete()
    assert watch.clusters["a"] == "Lost"
    while [*watch.services["web"].summary.exporters] != ["b"]:
        await watch.next()


async def test_a_large_fleet_comes_in_parts(tmp_path: Path) -> None:
    many = [obj for number in range(90) for obj in exported(f"web-{number}", "a")]
    async with serving(tmp_path / "s", knowing(*clusters("a", "b"), *many)) as channel:
        watch = Watch(InventoryStub(channel))
        await watch.complete()
    assert len(watch.services) == 90
    assert max(len(part.services) for part in watch.parts) == fleet.BATCH_SIZE
    assert [part.complete for part in watch.parts] == [False] * 4 + [True]


async def test_a_quiet_stream_is_alive(
    stub: InventoryStub, inventory: Inventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "ALIVE_SECONDS", 0.05)
    watch = Watch(stub)
    await watch.complete()
    assert await watch.next() == pb.WatchFleetResponse(complete=True)


async def test_a_storm_of_changes_leaves_the_controller_its_time(
    inventory: Inventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream rests nine times as long as it worked."""
    rests: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        rests.append(seconds)
        await sleep(0)

    worked = iter(range(1000))
    monkeypatch.setattr(asyncio, "sleep", noted)
    monkeypatch.setattr(time, "thread_time", lambda: float(next(worked)))
    watch = fleet.FleetWatch(inventory, Explainer(inventory), Meter())
    responses = watch.responses()
    await anext(responses)
    tell(inventory, binding(WEB[1], "a"))
    await anext(responses)
    await responses.aclose()
    assert rests == [9.0]
    assert not inventory.listeners


async def test_the_client_follows_a_fleet(
    tmp_path: Path, inventory: Inventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server(inventory, tmp_path / "s") as made:
        made.in_sync()
        parts = client.watch_fleet(f"unix:{tmp_path / 's'}")
        first = await anext(parts)
        assert [s.summary.name for s in first.services] == ["web"]
        monkeypatch.setattr(client, "SILENCE_SECONDS", 0.05)
        with pytest.raises(Unreachable, match="silent"):
            await anext(parts)


async def test_a_stream_ends_when_the_plugin_stops(tmp_path: Path, inventory: Inventory) -> None:
    async with grpc.aio.insecure_channel(f"unix:{tmp_path / 's'}") as channel:
        async with server(inventory, tmp_path / "s") as made:
            made.in_sync()
            watch = Watch(InventoryStub(channel))
            await watch.complete()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await watch.next()
    assert refusal(caught.value)[:2] == (grpc.StatusCode.UNAVAILABLE, "STOPPING")
    assert not inventory.listeners

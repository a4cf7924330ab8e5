"""The traffic on the stream of the cluster set, over a real socket, from a real HTTP server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio
import pytest
from aiohttp import web

from tests.support.inventories import cluster, clusters, exported, forget, knowing, tell
from tests.support.plugins import serving
from tests.support.waiting import until
from towpath.inventory.inventory import Inventory
from towpath.proto.v1alpha1 import inventory_pb2 as pb
from towpath.proto.v1alpha1.inventory_pb2_grpc import InventoryStub
from towpath.rpc import fleet, traffic
from towpath.rules.reasons import TrafficReason
from towpath.traffic import meter as meter_module
from towpath.traffic.meter import Ask, Meter
from towpath.traffic.prometheus import Prometheus, Target
from towpath.traffic.query import Unmeasured
from towpath.traffic.rates import Pair, Rate, Rates

pytestmark = pytest.mark.timeout(60)


class Measured:
    """Answers with rates that a test changes."""

    def __init__(self, **rates: float) -> None:
        self.rates: dict[Pair, Rate] = {}
        self.failure: Unmeasured | None = None
        self.put(**rates)

    def put(self, **rates: float) -> None:
        """Set rates by names of two letters: ``ab`` for the requests of a to b."""
        self.rates |= {Pair(*name): Rate(rate, 0.0) for name, rate in rates.items()}

    async def ask(self, members: Collection[str]) -> Rates:
        if self.failure is not None:
            raise self.failure
        return {pair: rate for pair, rate in self.rates.items() if {*pair} <= {*members}}


class Watch:
    """What a client knows of the traffic."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._parts = aiter(InventoryStub(channel).WatchFleet(pb.WatchFleetRequest()))
        self.parts: list[pb.WatchFleetResponse] = []
        self.rates: dict[str, float] = {}
        self.reason = self.measured_at = "unset"

    async def next(self) -> pb.WatchFleetResponse:
        async with asyncio.timeout(30):
            part = await anext(self._parts)
        self.parts.append(part)
        self.rates |= {t.importer + t.exporter: t.requests_per_second for t in part.traffic}
        for pair in part.gone_traffic:
            del self.rates[pair.importer + pair.exporter]
        if part.HasField("traffic_measurement"):
            self.reason = part.traffic_measurement.reason
            self.measured_at = part.traffic_measurement.measured_at
        return part

    async def sees(self, reason: str = "", **rates: float) -> None:
        while (self.reason, self.rates) != (reason, rates):
            await self.next()

    async def complete(self) -> None:
        while not (await self.next()).complete:
            pass


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter_module, "PERIOD_SECONDS", 0.02)
    monkeypatch.setattr(fleet, "CLOSE_SECONDS", 0.0)


@pytest.fixture
def inventory() -> Inventory:
    return knowing(*clusters("a", "b", "c"), *exported("web", "a", "b"))


@asynccontextmanager
async def measured(tmp_path: Path, inventory: Inventory, ask: Ask) -> AsyncIterator[grpc.aio.Channel]:
    """Serve what is known with what measures; give a channel."""
    meter = Meter(ask, lambda: frozenset(inventory.world.fleet.members))
    running = asyncio.create_task(meter.run())
    async with serving(tmp_path / "s", inventory, meter=meter) as channel:
        yield channel
        assert not running.done()
    running.cancel()
    await asyncio.wait({running})


async def test_rates_come_change_and_go(tmp_path: Path, inventory: Inventory) -> None:
    source = Measured(ab=10.0, cb=2.0)
    async with measured(tmp_path, inventory, source.ask) as channel:
        watch = Watch(channel)
        await watch.sees(ab=10.0, cb=2.0)
        assert watch.measured_at.endswith("Z")
        source.put(ab=30.0)
        await watch.sees(ab=30.0, cb=2.0)
        sent = [t for part in watch.parts for t in part.traffic]
        assert len(sent) == 3, "only what has changed"
        del source.rates[Pair("c", "b")]
        await watch.sees(ab=30.0)


async def test_noise_is_not_sent(tmp_path: Path, inventory: Inventory) -> None:
    source = Measured(ab=10.0, cb=0.0)
    async with measured(tmp_path, inventory, source.ask) as channel:
        watch = Watch(channel)
        await watch.sees(ab=10.0, cb=0.0)
        source.put(ab=10.9)
        for _ in range(3):
            await watch.next()
        source.put(cb=1.0)
        await watch.sees(ab=10.0, cb=1.0)
    assert sum(len(part.traffic) for part in watch.parts) == 3


async def test_errors_that_are_not_counted_are_not_sent(tmp_path: Path, inventory: Inventory) -> None:
    source = Measured(ab=10.0)
    source.rates[Pair("c", "b")] = Rate(1.0, None)
    async with measured(tmp_path, inventory, source.ask) as channel:
        watch = Watch(channel)
        await watch.sees(ab=10.0, cb=1.0)
    sent = {t.importer: t for part in watch.parts for t in part.traffic}
    assert sent["a"].HasField("errors_per_second")
    assert not sent["c"].HasField("errors_per_second")


async def test_without_prometheus_the_reason_is_sent_once(tmp_path: Path, inventory: Inventory) -> None:
    async with serving(tmp_path / "s", inventory) as channel:
        watch = Watch(channel)
        await watch.complete()
        tell(inventory, cluster("d"))
        await watch.next()
    sent = [part.traffic_measurement for part in watch.parts if part.HasField("traffic_measurement")]
    assert [(m.reason, m.text, m.measured_at) for m in sent] == [
        ("NoPrometheus", TrafficReason.NO_PROMETHEUS.text, "")
    ]


async def test_what_is_old_goes_with_its_reason(
    tmp_path: Path, inventory: Inventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meter_module, "MAX_AGE_SECONDS", 0.1)
    source = Measured(ab=10.0)
    async with measured(tmp_path, inventory, source.ask) as channel:
        watch = Watch(channel)
        await watch.sees(ab=10.0)
        source.failure = Unmeasured(TrafficReason.REFUSED, "HTTP status 403")
        await watch.sees("PrometheusRefuses")
        assert watch.measured_at == ""
        sent = [part.traffic_measurement.text for part in watch.parts if part.traffic_measurement.reason]
        assert sent[-1].startswith("HTTP status 403: Prometheus does not answer the query.")
        source.failure = None
        await watch.sees(ab=10.0)


async def test_the_traffic_of_a_member_goes_with_it(tmp_path: Path, inventory: Inventory) -> None:
    source = Measured(ab=10.0, ac=5.0, da=1.0)
    async with measured(tmp_path, inventory, source.ask) as channel:
        watch = Watch(channel)
        await watch.sees(ab=10.0, ac=5.0)
        tell(inventory, cluster("d"))
        await watch.sees(ab=10.0, ac=5.0, da=1.0)
        forget(inventory, cluster("c"))
        await watch.sees(ab=10.0, da=1.0)


async def test_many_pairs_come_in_parts(tmp_path: Path) -> None:
    names = [f"m{number}" for number in range(40)]
    rates = {Pair(x, y): Rate(1.0, 0.0) for x in names for y in names if x != y}

    async def ask(_: Collection[str]) -> Rates:
        return rates

    async with measured(tmp_path, knowing(*clusters(*names)), ask) as channel:
        watch = Watch(channel)
        while len(watch.rates) < len(rates):
            await watch.next()
    assert max(len(part.traffic) for part in watch.parts) == traffic.BATCH_SIZE
    assert sum(len(part.traffic) for part in watch.parts) == len(rates)


async def test_only_who_has_viewers_asks(tmp_path: Path, inventory: Inventory) -> None:
    asked = 0

    async def ask(_: Collection[str]) -> Rates:
        nonlocal asked
        asked += 1
        return {Pair("a", "b"): Rate(1.0, 0.0)}

    async with measured(tmp_path, inventory, ask) as channel:
        await InventoryStub(channel).ListClusters(pb.ListClustersRequest())
        assert asked == 0
        await Watch(channel).sees(ab=1.0)
        assert asked > 0


@pytest.mark.parametrize("lie", ["html", "huge", "hang", "strangers", "redirect"])
async def test_a_prometheus_that_lies_stops_no_stream(tmp_path: Path, inventory: Inventory, lie: str) -> None:
    released = asyncio.Event()
    asked = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        if lie == "hang":
            await released.wait()
        if lie == "redirect":
            raise web.HTTPFound("/elsewhere")
        labels = [
            {"towpath_rate": "requests", "exported_cluster": "r/z/g/b", "cluster": f"x{n}"}
            for n in range(5000)
        ]
        found = [{"metric": each, "value": [1.0, "NaN"]} for each in labels]
        data = {"status": "success", "data": {"resultType": "vector", "result": found}}
        bodies = {"html": b"<html>", "huge": b" " * (9 << 20), "strangers": json.dumps(data).encode()}
        return web.Response(body=bodies.get(lie, b""))

    async def times_asked() -> int:
        return asked

    app = web.Application()
    app.router.add_get("/api/v1/query", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        ask = Prometheus(Target("http://127.0.0.1:{1}".format(*runner.addresses[0]))).ask
        async with measured(tmp_path, inventory, ask) as channel:
            watch = Watch(channel)
            await watch.complete()
            await until(times_asked, bool)
            while lie != "hang" and watch.reason == "NotMeasuredYet":
                await watch.next()
            tell(inventory, *exported("api", "a"))
            while "api" not in {s.summary.name for s in watch.parts[-1].services}:
                await watch.next()
            assert not watch.rates
            assert (
                watch.reason
                == {
                    "html": "InvalidAnswer",
                    "huge": "InvalidAnswer",
                    "hang": "NotMeasuredYet",
                    "strangers": "NoSeries",
                    "redirect": "PrometheusRefuses",
                }[lie]
            )
    finally:
        released.set()
        await runner.cleanup()

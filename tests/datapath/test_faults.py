"""What clients notice while something breaks or changes: nothing, where it can be had."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import aiohttp
import pytest

from tests.datapath.conftest import Fleet
from tests.support.envoys import app, call
from tests.support.load import load
from tests.support.members import export, gateway, imported, key, pods, policy, serving, using
from tests.support.waiting import until
from towpath.datapath.derive import derive
from towpath.datapath.envoy import Json, Kind, typed
from towpath.datapath.world import ServiceName
from towpath.net.draining import drain
from towpath.net.snapshot import snapshot

TIERS = "default/default/default/cluster-1=0,default/default/default/cluster-3=1"
FAIL_OVER = policy("FailOver", "cluster-1", "cluster-3", tiers=TIERS)
BOTH = policy("ActiveActive")
SECONDS_WITHOUT_AGENT, RARE = 60, 10
"""An outage, and requests a second in it, so few that they cost nothing."""


@pytest.mark.parametrize("how", [BOTH, FAIL_OVER], ids=["ActiveActive", "FailOver"])
async def test_a_gateway_killed_fails_no_get(
    fleet: Fleet, session: aiohttp.ClientSession, how: object
) -> None:
    await fleet.client.apply(fleet.importing(how))  # type: ignore[arg-type] # a policy
    async with load(session, fleet.url) as calls:
        await calls.until(100, "pod-1")
        await fleet.first.kill_envoy()
        await calls.until(200, "pod-3")
        await fleet.first.start_envoy()
        await calls.until(50, "pod-1")
    assert calls.failed == {}


async def test_no_post_is_repeated(fleet: Fleet, session: aiohttp.ClientSession) -> None:
    """Only requests in flight when the gateway is killed may fail; no request arrives twice."""
    async with load(session, fleet.url, method="POST", data=b"x") as calls:
        await calls.until(100, "pod-1")
        fleet.pod_1.hold = asyncio.Event()
        arrived = len(fleet.pod_1.requests)
        await until(fleet.pod_1.count, lambda seen: seen >= arrived + 5)
        await fleet.first.kill_envoy()
        in_flight = calls.waiting | calls.lost
        fleet.pod_1.hold.set()
        await calls.until(200, "pod-3")
    assert 5 <= len(calls.lost) == sum(calls.failed.values())
    assert calls.lost <= in_flight
    arrived_at_3 = Counter(map(int, fleet.pod_3.numbers))
    assert calls.lost.isdisjoint(arrived_at_3), "one that another gateway could have was answered"
    arrived_once = Counter(map(int, fleet.pod_1.numbers)) + arrived_at_3
    assert max(arrived_once.values()) == 1
    assert len(arrived_once) >= calls.seen.total() - len(calls.lost)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_cluster_without_ready_pods_passes_all_on(
    fleet: Fleet, session: aiohttp.ClientSession, method: str
) -> None:
    async with load(session, fleet.url, method=method) as calls:
        await calls.until(50, "pod-1")
        await fleet.first.apply(serving(key(), export(), fleet.pod_1.address, ready=False))
        await calls.until(100, "pod-3")
        # Nor does it matter that a gateway does not know the path yet.
        await fleet.first.apply(serving(key(), export("/elsewhere"), fleet.pod_1.address))
        await calls.until(100, "pod-3")
    assert calls.failed == {}
    assert max(Counter(fleet.pod_1.numbers + fleet.pod_3.numbers).values()) == 1


@pytest.mark.parametrize("fault", ["no ready pod", "no gateway"])
async def test_local_pods_answer_where_no_gateway_does(
    fleet: Fleet, session: aiohttp.ClientSession, fault: str
) -> None:
    """A client in cluster-1, whose pods share its calls with cluster-3, loses none with cluster-3."""
    others = imported(gateway("cluster-3", fleet.second.address))
    own = serving(key(), export(), fleet.pod_1.address)
    await fleet.first.apply(using(key(), others, policy("ActiveActive"), world=own))
    url = fleet.first.listener("shop", "web", 80)
    assert await call(session, url) == "pod-3"

    async with load(session, url) as running:
        await running.until(20, "pod-3")
        if fault == "no gateway":
            await fleet.second.kill_envoy()
        else:
            await fleet.second.apply(serving(key(), export()))
        await running.until(200, "pod-1")

    assert running.failed == {}


async def test_no_agent_for_a_minute_fails_no_request(fleet: Fleet, session: aiohttp.ClientSession) -> None:
    """In all members at once. The next ones are followed as soon as they are there."""
    proxies = (fleet.client, fleet.first, fleet.second)
    async with (
        load(session, fleet.url, RARE) as calls,
        load(session, fleet.url, RARE, method="POST") as posts,
    ):
        await calls.until(10)
        for proxy in proxies:
            await proxy.stop_agent()
        await calls.until(SECONDS_WITHOUT_AGENT * RARE, patience=3 * SECONDS_WITHOUT_AGENT)
        for proxy in proxies:
            await proxy.start_agent()
        await fleet.client.apply(fleet.importing(policy("ActiveActive", "cluster-1")))

        async def seen() -> set[str]:
            return {await call(session, fleet.url) for _ in range(10)}

        await until(seen, {"pod-1"}.__eq__)
    assert calls.failed == posts.failed == {}


async def test_clients_leave_an_envoy_that_drains(fleet: Fleet) -> None:
    """It takes connections until its end, and ends each after an answer."""
    request = f"GET / HTTP/1.1\r\nHost: {fleet.url}\r\n\r\n".encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = next(line for line in head.splitlines() if line.startswith(b"content-length"))
        await reader.readexactly(int(length.partition(b":")[2]))
        return head

    before = await asyncio.open_connection(*fleet.url.split(":"))
    for _ in range(2):
        assert b"connection: close" not in await answer(*before)
    await drain(fleet.client.folder / "admin.sock", 0.1)

    after = await asyncio.open_connection(*fleet.url.split(":"))
    for connection in (before, after):
        assert b"connection: close" in await answer(*connection)
        connection[1].close()


async def test_changes_of_everything_fail_no_request(fleet: Fleet, session: aiohttp.ClientSession) -> None:
    """Changes of weights, gateway paths and exporters, and services that come and go."""
    await fleet.second.apply(
        serving(
            key(),
            export(
                rules=[{"portNumber": 80, "path": path, "pathType": "Prefix"} for path in ("/web", "/other")]
            ),
            fleet.pod_3.address,
        )
    )
    more = using(key("more"), imported(gateway("cluster-1", fleet.first.address, path="/more")), BOTH)
    async with load(session, fleet.url) as calls, load(session, fleet.url, 100, method="POST") as posts:
        for turn in range(12):
            other = ("/web", "/other")[turn % 2]
            world = fleet.importing(policy("ActiveActive", ("cluster-1", turn + 1), "cluster-3"), other=other)
            if turn % 3:
                world = using(key("more"), more.imports[key("more")], BOTH, world=world)
            await fleet.client.apply(world)
            await calls.until(20)
    assert calls.failed == posts.failed == {}


async def test_pods_that_are_replaced_fail_no_request(fleet: Fleet, session: aiohttp.ClientSession) -> None:
    name = ServiceName("shop", "web")
    async with app("pod-4") as new, load(session, fleet.url) as calls:
        await calls.until(50)
        world = serving(key(), export(), fleet.pod_1.address)
        for addresses in ((fleet.pod_1.address, new.address), (new.address,), (fleet.pod_1.address,)):
            await fleet.first.apply(replace(world, slices={name: {"x": pods("web", *addresses)}}))
            await calls.until(60)
    assert calls.failed == {}
    assert calls.seen["pod-4"] > 20


_PORT = {"socket_address": {"address": "127.0.0.1", "port_value": 70000}}
_NO_PREFIX = typed("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy")
_BROKEN_ROUTE = {"match": {"safe_regex": {"regex": "("}}, "route": {"cluster": "a"}}
_NO_ADDRESS = {"endpoint": {"address": {"socket_address": {"address": "no host", "port_value": 1}}}}
BAD: Mapping[str, tuple[Kind, Json]] = {
    "a cluster that cannot be made": (Kind.CLUSTER, {"lb_policy": "CLUSTER_PROVIDED"}),
    "a cluster that is not valid": (Kind.CLUSTER, {"outlier_detection": {"max_ejection_percent": 300}}),
    "a listener that is not valid": (Kind.LISTENER, {"address": _PORT}),
    "a listener with a bad filter": (
        Kind.LISTENER,
        {"filter_chains": [{"filters": [{"name": "x", "typed_config": _NO_PREFIX}]}]},
    ),
    "routes that are not valid": (Kind.ROUTES, {"virtual_hosts": [{"name": "x", "domains": []}]}),
    "routes that Envoy does not name": (
        Kind.ROUTES,
        {"virtual_hosts": [{"name": "x", "domains": ["*"], "routes": [_BROKEN_ROUTE]}]},
    ),
    "endpoints that are not valid": (Kind.ENDPOINTS, {"endpoints": [{"priority": 200}]}),
    "endpoints that Envoy does not name": (Kind.ENDPOINTS, {"endpoints": [{"lb_endpoints": [_NO_ADDRESS]}]}),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_rejected_resource_stops_nothing_else(
    fleet: Fleet, session: aiohttp.ClientSession, case: str
) -> None:
    """What comes together with it arrives, and what was there before can be changed."""
    kind, fields = BAD[case]
    world, both = fleet.importing(policy("ActiveActive", "cluster-1")), policy("ActiveActive")
    for name in ("a", "bad", "z"):
        world = using(key(name), imported(gateway("cluster-3", fleet.second.address)), both, world=world)
    fleet.client.derived = derived = derive(
        world, fleet.client.derived.allocation, fleet.client.settings, fleet.client.derived
    )
    bodies = {of: dict(found) for of, found in derived.resources.items()}
    bodies[kind]["egress/shop/bad:80"] = {**bodies[kind]["egress/shop/bad:80"], **fields}
    fleet.client.snapshot = snapshot(bodies, fleet.client.snapshot, lambda _: pytest.fail("not encoded"))
    await fleet.client.discovery.publish(fleet.client.snapshot)
    await fleet.client.discovery.settled()
    assert fleet.client.discovery.refused() == {(kind.name, "egress/shop/bad:80")}
    for name, pod in (("a", "pod-3"), ("web", "pod-1"), ("z", "pod-3")):
        assert await call(session, fleet.client.listener("shop", name, 80)) == pod
    await fleet.client.apply(fleet.importing(policy("ActiveActive", "cluster-3")))
    assert await call(session, fleet.url) == "pod-3"
    assert fleet.client.discovery.refused() == set()
    assert fleet.client.rejections >= 1
    fleet.client.metrics.rejections[kind.name].reset()

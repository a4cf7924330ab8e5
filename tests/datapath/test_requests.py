"""Requests through real Envoys: the backend that answers, and the request as it arrives there."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import aiohttp
import pytest
from yarl import URL

from tests.datapath.conftest import Fleet
from tests.support.envoys import call, echoed
from tests.support.members import export, key, policy, service, serving
from tests.support.waiting import until

TIERS = "default/default/default/cluster-3=0,default/default/default/cluster-1=1"


async def answered(session: aiohttp.ClientSession, url: str, expected: Mapping[str, int]) -> None:
    """See requests answered so. A gateway that is new takes part once its first health check has passed."""

    async def seen() -> Counter[str]:
        return Counter([await call(session, url) for _ in range(sum(expected.values()))])

    await until(seen, lambda counted: counted == expected)


@pytest.mark.parametrize("other", ["/web", "/other"])
async def test_weights_are_exact(fleet: Fleet, session: aiohttp.ClientSession, other: str) -> None:
    await fleet.second.apply(serving(key(), export(other), fleet.pod_3.address))
    for first, second in ((3, 1), (1, 9), (50, 1)):
        spread = policy("ActiveActive", ("cluster-1", first), ("cluster-3", second))
        await fleet.client.apply(fleet.importing(spread, other=other))
        await answered(session, fleet.url, {"pod-1": first * 4, "pod-3": second * 4})


async def test_a_new_gateway_takes_part_at_once(fleet: Fleet, session: aiohttp.ClientSession) -> None:
    """By its default Envoy uses a gateway that is new beside another one a second after its first check."""
    lasted = []
    for _ in range(5):  # a busy machine can be slow, but not always
        await fleet.client.apply(fleet.importing(policy("ActiveActive", "cluster-1")))
        await answered(session, fleet.url, {"pod-1": 5})
        began = time.monotonic()
        await fleet.client.apply(fleet.importing(policy("ActiveActive")))
        while await call(session, fleet.url) != "pod-3":
            pass
        lasted.append(time.monotonic() - began)
    assert min(lasted) < 0.5


async def test_policies(fleet: Fleet, session: aiohttp.ClientSession) -> None:
    both, none = {"pod-1": 5, "pod-3": 5}, {"503 no healthy upstream": 10}
    for how, expected in (
        (None, none),
        (policy("Locality"), none),
        (policy("ActiveActive"), both),
        (policy("ActiveActive", "cluster-3"), {"pod-3": 10}),
        (policy("FailOver", ("cluster-1", 9), ("cluster-3", 1)), both),
        (policy("FailOver", "cluster-1", "cluster-3", tiers=TIERS), {"pod-3": 10}),
    ):
        await fleet.client.apply(fleet.importing(how))
        await answered(session, fleet.url, expected)


@pytest.mark.parametrize("path", ["/", "/get", "/a/b?c=d&e=%2F", "/a//b/", "/%7Ea/./b", "/?x"])
@pytest.mark.parametrize("other", ["/web", "/other"])
async def test_the_application_sees_what_the_client_sent(
    fleet: Fleet, session: aiohttp.ClientSession, path: str, other: str
) -> None:
    await fleet.second.apply(serving(key(), export(other), fleet.pod_3.address))
    await fleet.client.apply(fleet.importing(policy("ActiveActive"), other=other))
    for _ in range(2):
        async with session.get(
            URL(f"http://{fleet.url}{path}", encoded=True),
            headers={"Host": "web.shop:80", "x-towpath-path": "/evil"},
        ) as response:
            seen = json.loads(await response.text())
        assert seen["path"] == path
        assert seen["headers"]["Host"] == "web.shop:80"
        ours = ("x-towpath", "x-envoy")
        assert [name for name in seen["headers"] if name.lower().startswith(ours)] == []
        assert [name for name in response.headers if name.lower().startswith(ours)] == []


async def test_paths_of_the_gateway(fleet: Fleet, session: aiohttp.ClientSession) -> None:
    rules = [
        {"portNumber": 80, "path": "/web", "pathType": "Prefix"},
        {"portNumber": 80, "path": "/web/exact", "pathType": "Exact"},
    ]
    gate = f"{fleet.first.address}:{fleet.first.settings.gateway_port}"
    for more, expected in (
        ({}, {"/web": "/", "/web/": "/", "/web/a?b": "/a?b", "/web/exact": "/", "/web/exact/": "/exact/"}),
        ({"keep_path": True}, {"/web": "/web", "/web/a": "/web/a", "/web/exact": "/web/exact"}),
        ({"pathRewrite": {"from": "^/web/?", "to": "/new/"}}, {"/web": "/new/", "/web/a": "/new/a"}),
    ):
        await fleet.first.apply(serving(key(), export(rules=rules, **more), fleet.pod_1.address))
        for sent, arrives in expected.items():
            assert (await echoed(session, gate + sent))["path"] == arrives
        for unknown in ("/", "/webb", "/we", "/other/web"):
            async with session.get(f"http://{gate}{unknown}") as response:
                assert response.status == 404
                assert "the gateway of cluster-1" in await response.text()
    await fleet.first.apply(serving(key(), export("/"), fleet.pod_1.address))
    assert (await echoed(session, f"{gate}/any/thing"))["path"] == "/any/thing"


async def test_the_access_log_names_the_service(fleet: Fleet, session: aiohttp.ClientSession) -> None:
    gate = f"{fleet.first.address}:{fleet.first.settings.gateway_port}"
    await call(session, f"{gate}/web/x")
    await call(session, f"{gate}/nothing")
    await fleet.first.kill_envoy(15)
    lines = [json.loads(line) for line in (fleet.first.folder / "access.log").read_text().splitlines()]
    assert [(entry["cluster"], entry["service"], entry["status"]) for entry in lines] == [
        ("cluster-1", "shop/web:80", 200),
        ("cluster-1", "unknown", 404),
    ]
    assert all(isinstance(entry["duration_ms"], int) for entry in lines)


async def test_a_client_stays_with_a_cluster(fleet: Fleet, session: aiohttp.ClientSession) -> None:
    world = fleet.importing(policy("ActiveActive"))
    sticky = world.imports[key()].view.model_copy(update={"session_affinity": "ClientIP"})
    await fleet.client.apply(replace(world, imports={key(): world.imports[key()]._replace(view=sticky)}))
    assert len({await call(session, fleet.url) for _ in range(10)}) == 1


async def test_balancing_of_an_export(fleet: Fleet, session: aiohttp.ClientSession) -> None:
    gate = f"{fleet.first.address}:{fleet.first.settings.gateway_port}/web"
    pods = (fleet.pod_1.address, fleet.pod_3.address)
    await fleet.first.apply(serving(key(), export(), *pods))
    assert Counter([await call(session, gate) for _ in range(10)]) == {"pod-1": 5, "pod-3": 5}
    await fleet.first.apply(serving(key(), export(loadBalancer="HashingLoadBalancer"), *pods))
    by_client = {
        client: {await call(session, gate, headers={"x-forwarded-for": client}) for _ in range(3)}
        for client in (f"10.0.0.{number}" for number in range(20))
    }
    assert {len(clusters) for clusters in by_client.values()} == {1}
    assert len(set().union(*by_client.values())) == 2
    await fleet.first.apply(serving(key(), export(loadBalancer="LeastWorkLoadBalancer"), *pods))
    assert {await call(session, gate) for _ in range(30)} == {"pod-1", "pod-3"}


async def test_a_session_stays_with_a_pod(fleet: Fleet) -> None:
    gate = f"{fleet.first.address}:{fleet.first.settings.gateway_port}/web"
    await fleet.first.apply(
        serving(key(), export(sessionSticky=True), fleet.pod_1.address, fleet.pod_3.address)
    )
    seen = set()
    for _ in range(12):
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
            pods = {await call(browser, gate) for _ in range(4)}
            assert len(pods) == 1
            seen |= pods
    assert seen == {"pod-1", "pod-3"}


async def test_pods_of_another_port_name_do_not_answer(fleet: Fleet, session: aiohttp.ClientSession) -> None:
    named = serving(key(), export(), fleet.pod_1.address, service=service(80, names=["http"]))
    await fleet.first.apply(named)
    gate = f"{fleet.first.address}:{fleet.first.settings.gateway_port}/web"
    assert await call(session, gate) == "503 no healthy upstream"

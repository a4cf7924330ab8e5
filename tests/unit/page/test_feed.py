"""The one stream for all viewers: what it shows, what it costs, and what happens when it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from tests.support.fleets import DIALECT, Plugin, cluster, measured, requests, service
from tests.support.waiting import until
from towpath.errors import NotFound, Unreachable
from towpath.page import feed as module
from towpath.page.feed import Feed
from towpath.page.fleet import ServiceId
from towpath.page.frames import State
from towpath.proto.v1alpha1 import inventory_pb2 as pb

pytestmark = pytest.mark.timeout(60)
WEB = ServiceId("shop", "web", DIALECT)


@pytest.fixture
def plugin() -> Plugin:
    return Plugin(
        pb.WatchFleetResponse(clusters=[cluster("a"), cluster("b")], services=[service("web", ["a"], ["b"])])
    )


@pytest.fixture
async def feed(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Feed]:
    monkeypatch.setattr(module, "FIRST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(module, "LAST_RETRY_SECONDS", 0.02)
    made = Feed(plugin.watch, plugin.explain)
    running = asyncio.create_task(made.run())
    yield made
    running.cancel()


async def seen(feed: Feed, connected: bool = True) -> State:
    async def look() -> State:
        return feed.state

    return await until(look, lambda state: state.source.connected is connected)


async def test_before_the_first_answer_nothing_is_shown(plugin: Plugin) -> None:
    state = Feed(plugin.watch, plugin.explain).state
    assert not state.source.connected
    assert state.source.problem
    assert not state.picture.services


async def test_a_part_of_the_first_state_is_not_shown(feed: Feed) -> None:
    numbers = []
    while not feed.state.source.connected:
        numbers.append(len(feed.state.picture.members))
        await feed.changed.wait()
    assert set(numbers) <= {0}
    assert (len(feed.state.picture.members), len(feed.state.picture.services)) == (2, 1)
    assert feed.state.history == (), "what is there at the start has not happened"


async def test_a_change_is_a_new_state_with_its_history(feed: Feed, plugin: Plugin) -> None:
    before = await seen(feed)
    changed = feed.changed
    plugin.put(service("web", ["b"], ["a"]))
    await changed.wait()
    assert feed.state.number == before.number + 1
    assert [change.text for change in feed.state.history] == ["exported by b, no longer exported by a"]


async def test_a_sign_of_life_changes_nothing(feed: Feed, plugin: Plugin) -> None:
    before = await seen(feed)
    plugin.tell(pb.WatchFleetResponse())
    plugin.put(service("api", ["a"], []))
    await feed.changed.wait()
    assert feed.state.number == before.number + 1


async def test_a_plugin_that_restarts_is_followed_again(feed: Feed, plugin: Plugin) -> None:
    await seen(feed)
    plugin.stop()
    lost = await seen(feed, connected=False)
    assert len(lost.picture.members) == 2, "what was known last is gone"
    assert lost.source.problem
    plugin.tell(pb.WatchFleetResponse(clusters=[cluster("a", drained=True)]))
    plugin.start()
    again = await seen(feed)
    assert again.picture.members[0].drained
    assert [change.text for change in again.history] == ["drained"], "what happened meanwhile is told"
    assert plugin.watches == 2


async def test_while_a_plugin_is_away_nobody_is_woken(feed: Feed, plugin: Plugin) -> None:
    await seen(feed)
    plugin.stop()
    await seen(feed, connected=False)

    async def look() -> str:
        return feed.state.source.problem

    await until(look, lambda problem: "refused" in problem)
    number, since, refused = feed.state.number, feed.state.source.since, plugin.refused

    async def refusals() -> int:
        return plugin.refused

    await until(refusals, lambda seen: seen > refused + 3)
    assert (feed.state.number, feed.state.source.since) == (number, since)


async def test_the_traffic_of_a_plugin_that_is_away_grows_old(
    feed: Feed, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin.tell(measured(requests("b", "a", 5.0)))

    async def look() -> State:
        return feed.state

    known = await until(look, lambda state: state.picture.flows == {(1, 0): (5.0, 0.0)})
    assert known.picture.traffic.reason == ""
    plugin.stop()
    lost = await seen(feed, connected=False)
    assert lost.picture.flows, "a minute has not passed"
    monkeypatch.setattr(module, "TRAFFIC_SECONDS", 0.0)
    old = await until(look, lambda state: not state.picture.flows)
    assert old.picture.traffic.reason == "PluginLost"
    assert old.picture.services, "only the traffic is unknown"
    assert json.loads(feed.frame(lost))["goneFlows"] == [[1, 0]]
    plugin.start()
    again = await until(look, lambda state: bool(state.picture.flows))
    assert again.picture.traffic.reason == ""


async def test_a_plugin_that_comes_late_has_no_history(
    plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TRAFFIC_SECONDS", "FIRST_RETRY_SECONDS", "LAST_RETRY_SECONDS"):
        monkeypatch.setattr(module, name, 0.0)
    plugin.stop()
    feed = Feed(plugin.watch, plugin.explain)
    running = asyncio.create_task(feed.run())

    async def refusals() -> int:
        return plugin.refused

    await until(refusals, lambda number: number > 2)
    assert feed.state.picture.traffic.reason == "NotReported"
    plugin.start()
    assert (await seen(feed)).history == ()
    running.cancel()


async def test_viewers_with_the_same_state_share_a_frame(feed: Feed, plugin: Plugin) -> None:
    before = await seen(feed)
    assert feed.frame(None) is feed.frame(None)
    changed = feed.changed
    plugin.put(service("web", ["b"], ["a"]))
    await changed.wait()
    assert feed.frame(before) is feed.frame(before)
    assert len(feed.frame(before)) < len(feed.frame(None))


async def test_a_chain_is_asked_for_once_for_all_viewers(feed: Feed, plugin: Plugin) -> None:
    await seen(feed)
    answers = await asyncio.gather(*(feed.explanation(WEB) for _ in range(20)))
    assert plugin.asked == [WEB]
    assert json.loads(answers[0])["name"] == "web"
    changed = feed.changed
    plugin.put(service("web", ["b"], ["a"]))
    await changed.wait()
    assert json.loads(await feed.explanation(WEB))["exporters"][0]["cluster"] == "b"
    assert plugin.asked == [WEB, WEB]


async def test_a_viewer_that_leaves_spoils_no_answer(feed: Feed, plugin: Plugin) -> None:
    await seen(feed)
    leaving = asyncio.create_task(feed.explanation(WEB))
    staying = asyncio.create_task(feed.explanation(WEB))
    await asyncio.sleep(0)
    leaving.cancel()
    assert json.loads(await staying)["name"] == "web"
    assert plugin.asked == [WEB]


async def test_an_error_is_not_remembered(feed: Feed, plugin: Plugin) -> None:
    await seen(feed)
    with pytest.raises(NotFound):
        await feed.explanation(ServiceId("shop", "none", DIALECT))
    plugin.stop()
    with pytest.raises(Unreachable):
        await feed.explanation(WEB)
    plugin.start()
    assert json.loads(await feed.explanation(WEB))["name"] == "web"


async def test_chains_are_forgotten_and_asked_for_in_turn(
    feed: Feed, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_EXPLANATIONS", 5)
    plugin.put(*(service(f"web-{number}", ["a"], []) for number in range(20)))
    await seen(feed)
    for number in range(20):
        await feed.explanation(ServiceId("shop", f"web-{number}", DIALECT))
    assert len(feed._explanations) == 5

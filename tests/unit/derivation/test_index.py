"""A world that changes, and its derivation: always the same as deriving anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.strategies import (
    FEW,
    FEWER,
    KEYS,
    MEMBERS,
    NAMES,
    exported,
    fleets,
    moved,
    of_one_service,
    offers,
    worlds,
)
from tests.support.worlds import HEADLESS, KEY, WEB, export, fleet, member, offered, service
from towpath.derivation.derive import Derived, derive
from towpath.derivation.index import Incremental
from towpath.model.cluster import Fleet, Member
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.world import ExportedService, Offer, World

OTHER = KEY._replace(namespace="bank")
ABROAD = ServiceKey(Dialect.MULTICLUSTER, "lab", "web")
EARLY = st.sampled_from([0.0, 1.0, 90.0, 100.0, 200.0, 300.0])


def built(world: World) -> Incremental:
    made = Incremental()
    made.put_members(world.members)
    for key, one in world.services.items():
        made.put_service(key, one)
    return made


def derivations(made: Incremental, now: float) -> dict[ServiceKey, Derived | None]:
    return {key: made.derived(key, now) for key in KEYS}


def anew(made: Incremental, now: float) -> dict[ServiceKey, Derived | None]:
    """Derive everything from what the incremental world holds."""
    seen = derive(World(made.fleet.members, made.services, now=now)).services
    return {key: seen.get(key) for key in KEYS}


@st.composite
def _step(draw: st.DrawFn) -> tuple[str, Any, Any]:
    what = draw(st.sampled_from(["service", "offer", "service", "gone", "member", "left", "fleet", "time"]))
    match what:
        case "service":
            key = draw(st.sampled_from(KEYS))
            return what, key, draw(exported(key))
        case "offer":
            return what, draw(st.sampled_from(NAMES)), draw(offers)
        case "gone":
            return what, draw(st.sampled_from(KEYS)), None
        case "member":
            name = draw(st.sampled_from(NAMES))
            return what, name, draw(MEMBERS[name])
        case "left":
            return what, draw(st.sampled_from(NAMES)), None
        case "fleet":
            return what, None, draw(fleets)
        case _:
            return what, None, draw(EARLY)


def take(made: Incremental, step: tuple[str, Any, Any]) -> set[ServiceKey]:
    """Make one change; return what may have changed by it."""
    what, which, new = step
    match what:
        case "service" | "gone":
            return made.put_service(which, new)
        case "member" | "left":
            rest = {name: one for name, one in made.fleet.members.items() if name != which}
            return made.put_members(rest | ({which: new} if new else {}))
        case "fleet":
            return made.put_members(new)
        case "offer":  # of one service, one cluster's
            if not made.services:
                return set()
            key = min(made.services)
            one = made.services[key]
            changed = {name: offer for name, offer in one.offers.items() if name != which}
            changed.update({name: offer for name, offer in new.items() if name == which})
            return made.put_service(key, replace(one, offers=changed))
    return set()


@given(worlds, st.lists(_step(), max_size=8))
@FEW
def test_incremental_results_equal_a_fresh_derivation(
    world: World, steps: list[tuple[str, Any, Any]]
) -> None:
    made, now = built(world), world.now
    assert derivations(made, now) == anew(made, now)
    for step in steps:
        if step[0] == "time":
            now += step[2]
        before = derivations(made, now)
        touched = take(made, step)
        after = anew(made, now)

        assert {key for key in KEYS if before[key] != after[key]} <= touched
        assert derivations(made, now) == after


@given(worlds, st.lists(_step(), max_size=8))
@FEWER
def test_what_nobody_asks_for_in_between_is_right_as_well(
    world: World, steps: list[tuple[str, Any, Any]]
) -> None:
    made, now = built(world), world.now
    for number, step in enumerate(steps):
        take(made, step)
        if number % 3 == 0:
            made.derived(KEY, now)
    assert derivations(made, now) == anew(made, now)


@given(worlds, st.randoms(use_true_random=False))
@FEW
def test_the_order_of_changes_does_not_matter(world: World, random: Any) -> None:
    made = Incremental()
    steps: list[tuple[str, Any, Any]] = [
        ("fleet", None, world.members),
        *(("service", *item) for item in world.services.items()),
    ]
    for step in random.sample(steps, len(steps)):
        take(made, step)

    assert derivations(made, world.now) == derivations(built(world), world.now)


@given(worlds, st.sampled_from(KEYS).flatmap(lambda key: st.tuples(st.just(key), exported(key))))
@FEW
def test_a_service_that_comes_and_goes_leaves_no_trace(
    world: World, added: tuple[ServiceKey, ExportedService]
) -> None:
    made = built(world)
    before, claims = derivations(made, world.now), dict(made.holders)
    key, one = added
    made.put_service(key, one)
    derivations(made, world.now)
    made.put_service(key, world.services.get(key))

    assert derivations(made, world.now) == before
    assert made.holders == claims


@given(worlds, st.sampled_from(NAMES).flatmap(lambda name: MEMBERS[name]))
@FEW
def test_a_member_that_comes_and_goes_leaves_no_trace(world: World, added: Member) -> None:
    made = built(world)
    before = derivations(made, world.now)
    made.put_members({**world.members, added.name: added})
    derivations(made, world.now)
    made.put_members(world.members)

    assert derivations(made, world.now) == before


@given(worlds, st.sampled_from(NAMES), offers)
@FEW
def test_an_offer_that_comes_and_goes_leaves_no_trace(
    world: World, name: str, some: dict[str, Offer]
) -> None:
    made = built(world)
    before, (key, one) = derivations(made, world.now), next(iter(world.services.items()))
    take(made, ("offer", name, some))
    made.put_service(key, replace(one, offers={**one.offers, name: WEB}))
    derivations(made, world.now)
    for each, was in world.services.items():
        made.put_service(each, was)

    assert derivations(made, world.now) == before


@given(worlds)
@FEW
def test_putting_what_is_there_touches_nothing(world: World) -> None:
    made = built(world)

    assert made.put_members(dict(world.members)) == set()
    for key, one in world.services.items():
        assert made.put_service(key, replace(one)) == set()


def test_known_results_are_those_asked_for_since_the_change() -> None:
    made = built(World(fleet("a", "b"), {KEY: offered({"a": WEB})}))
    assert not made.known

    derived = made.derived(KEY, 0.0)
    assert list(made.known) == [derived]

    made.put_members(fleet("a", "b", "c"))
    assert not made.known


def test_a_service_that_is_not_there_has_no_derivation() -> None:
    made = Incremental()

    assert made.derived(KEY, 0) is None
    assert made.put_service(KEY, None) == set()
    assert made.put_service(KEY, offered({"a": WEB})) == {KEY}
    assert made.derived(KEY, 0) is not None
    assert made.put_service(KEY, None) == {KEY}
    assert made.derived(KEY, 0) is None


def test_a_derivation_is_kept_until_a_change_or_its_time() -> None:
    made = Incremental()
    made.put_members({"a": member("a", unreachable_since=0.0), "b": member("b"), "c": member("c")})
    made.put_service(KEY, offered({"a": WEB, "b": WEB}))
    first = made.derived(KEY, 10)

    assert first is not None
    assert made.derived(KEY, 299) is first
    assert first.look_again == 300
    later = made.derived(KEY, 300)
    assert later is not None
    assert later.exporters == ("b",)
    assert made.derived(KEY, 1e9) is later


ELSEWHERE = Offer(export((80, "/elsewhere")), service(80))


@pytest.mark.parametrize(
    ("members", "touched"),
    [
        pytest.param(fleet("a", "b", "c"), set(), id="nothing"),
        pytest.param(fleet("a", "b", "c", "d"), {KEY, OTHER, ABROAD}, id="one joins"),
        pytest.param(fleet("a", "b"), {KEY, OTHER, ABROAD}, id="one leaves"),
        pytest.param(
            {**fleet("a", "b", "c"), "d": member("d", imports=frozenset())},
            set(),
            id="one that serves nothing",
        ),
        pytest.param(
            {**fleet("a", "b"), "c": member("c", imports=frozenset({Dialect.FLOMESH}))},
            {ABROAD},
            id="one stops to serve a dialect",
        ),
        pytest.param({**fleet("b", "c"), "a": member("a", "10.9.9.9")}, {KEY}, id="another gateway"),
        pytest.param({**fleet("a", "c"), "b": member("b", drained=True)}, {KEY, OTHER}, id="drained"),
        pytest.param({**fleet("a", "b"), "c": member("c", unreachable_since=1.0)}, {ABROAD}, id="lost"),
        pytest.param(
            {**fleet("a", "b"), "c": member("c", region="eu")}, {KEY, OTHER, ABROAD}, id="another key"
        ),
        pytest.param(
            {**fleet("b", "c"), "a": member("a", region="eu", imports=frozenset({Dialect.MULTICLUSTER}))},
            {KEY, OTHER, ABROAD},
            id="another key and another dialect",
        ),
    ],
)
def test_a_change_of_a_member_touches_whom_it_concerns(
    members: Mapping[str, Member], touched: set[ServiceKey]
) -> None:
    made = Incremental()
    made.put_members(fleet("a", "b", "c"))
    made.put_service(KEY, offered({"a": WEB, "b": WEB}))
    made.put_service(OTHER, offered({"b": ELSEWHERE}, key=OTHER))
    made.put_service(ABROAD, offered({"c": HEADLESS}, key=ABROAD))

    assert made.put_members(members) == touched
    assert isinstance(made.fleet, Fleet)


def test_what_has_gone_is_touched_no_more() -> None:
    made = Incremental()
    made.put_service(KEY, offered({"a": WEB}))
    made.put_service(KEY, offered({"b": WEB}))
    made.put_service(OTHER, offered({"c": WEB}, key=OTHER))
    made.put_service(OTHER, None)

    assert made.put_members({"c": member("c", imports=frozenset())}) == set()
    assert made.put_members({"a": member("a", imports=frozenset())}) == set()
    assert made.put_members(fleet("d")) == {KEY}


def test_a_change_touches_services_that_win_or_lose_by_it() -> None:
    made = Incremental()
    made.put_members(fleet("a", "b"))
    older, old = "2026-01-01T00:00:00Z", "2026-03-01T00:00:00Z"
    names = [KEY._replace(name=name) for name in ("one", "two", "three")]
    one, two, three = names
    made.put_service(one, offered({"a": WEB}, key=one, created=old))
    made.put_service(three, offered({"a": ELSEWHERE}, key=three, created=old))

    assert made.put_service(two, offered({"a": WEB}, key=two, created="2026-06-01T00:00:00Z")) == {two}
    assert made.put_service(two, offered({"a": WEB}, key=two, created=older)) == {one, two}
    assert made.put_service(one, offered({"b": WEB}, key=one, created=old)) == {one}
    assert made.put_service(two, None) == {two}


@given(of_one_service.flatmap(lambda world: st.tuples(st.just(world), moved(world))))
@FEWER
def test_one_world_becomes_another(both: tuple[World, World]) -> None:
    first, second = both
    made = built(first)
    made.put_members(second.members)
    for key, one in second.services.items():
        made.put_service(key, one)

    assert derivations(made, second.now) == anew(made, second.now)

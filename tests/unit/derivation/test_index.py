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
from towpath.model.claim import ClaimRecord
from towpath.model.cluster import Fleet, Member
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.world import ExportedService, Offer, World

OTHER = KEY._replace(namespace="bank")
ABROAD = ServiceKey(Dialect.MULTICLUSTER, "lab", "web")
EARLY = st.sampled_from([0.0, 1.0, 90.0, 100.0, 200.0, 300.0])


def built(world: World) -> Incremental:
    made = Incremental()
    made.put_members(world.members)
    for key, entry in world.services.items():
        made.put_service(key, entry)
    return made


def derivations(made: Incremental, now: float) -> dict[ServiceKey, Derived | None]:
    return {key: made.derived(key, now) for key in KEYS}


def anew(made: Incremental, now: float) -> dict[ServiceKey, Derived | None]:
    """Derive everything from the content of the incremental world."""
    seen = derive(World(made.fleet.members, made.services, now=now)).services
    return {key: seen.get(key) for key in KEYS}


@st.composite
def _step(draw: st.DrawFn) -> tuple[str, Any, Any]:
    kind = draw(
        st.sampled_from(["service", "offer", "service", "record", "gone", "member", "left", "fleet", "time"])
    )
    match kind:
        case "service":
            key = draw(st.sampled_from(KEYS))
            return kind, key, draw(exported(key))
        case "record":
            return kind, draw(st.sampled_from(KEYS)), draw(exported(KEY))
        case "offer":
            return kind, draw(st.sampled_from(NAMES)), draw(offers)
        case "gone":
            return kind, draw(st.sampled_from(KEYS)), None
        case "member":
            name = draw(st.sampled_from(NAMES))
            return kind, name, draw(MEMBERS[name])
        case "left":
            return kind, draw(st.sampled_from(NAMES)), None
        case "fleet":
            return kind, None, draw(fleets)
        case _:
            return kind, None, draw(EARLY)


def take(made: Incremental, step: tuple[str, Any, Any]) -> set[ServiceKey]:
    """Make one change; return the services that it may change."""
    kind, which, new = step
    match kind:
        case "service" | "gone":
            return made.put_service(which, new)
        case "member" | "left":
            rest = {name: member for name, member in made.fleet.members.items() if name != which}
            return made.put_members(rest | ({which: new} if new else {}))
        case "fleet":
            return made.put_members(new)
        case "record":  # nothing but what is recorded, or stands for it
            if (known := made.services.get(which)) is None:
                return set()
            return made.put_service(which, replace(known, claimed=new.claimed, shown=new.shown))
        case "offer":  # of one service, one cluster's
            if not made.services:
                return set()
            key = min(made.services)
            entry = made.services[key]
            changed = {name: offer for name, offer in entry.offers.items() if name != which}
            changed.update({name: offer for name, offer in new.items() if name == which})
            return made.put_service(key, replace(entry, offers=changed))
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
def test_changes_between_two_reads_are_right_as_well(world: World, steps: list[tuple[str, Any, Any]]) -> None:
    made, now = built(world), world.now
    for number, step in enumerate(steps):
        take(made, step)
        if number % 3 == 0:
            made.derived(KEY, now)
    assert derivations(made, now) == anew(made, now)


def test_a_record_keeps_its_path_until_it_is_removed() -> None:
    """Whoever waits for the path is touched then."""
    record = ClaimRecord("/web", "Prefix", "2026-01-01T00:00:00Z", ("a",))
    left = replace(offered({"a": Offer(export((80, "/elsewhere")), service(80))}), claimed=(record,))
    waiting = replace(offered({"a": WEB}, key=OTHER), claimed=())
    made = built(World(fleet("a", "b"), {KEY: left, OTHER: waiting}, now=0.0))

    assert not built_of(made, OTHER).exporters
    assert built_of(made, KEY).exporters == ("a",)
    assert OTHER in made.put_service(KEY, replace(left, claimed=()))
    assert built_of(made, OTHER).exporters == ("a",)


@pytest.mark.parametrize(
    "offer",
    [replace(WEB, service=service(8080)), Offer(export((80, "/own"), (81, "/web")), service(80))],
    ids=["another port", "one of two ports"],
)
def test_a_lost_path_that_only_the_import_shows_ends_with_it(offer: Offer) -> None:
    record = ClaimRecord("/web", "Prefix", "2026-01-01T00:00:00Z", ("a",))
    holder = replace(offered({"a": WEB}, key=OTHER), claimed=(record,))
    losing = replace(offered({"a": offer}), claimed=(), shown=frozenset({("a", "/web")}))
    made = built(World(fleet("a", "b"), {KEY: losing, OTHER: holder}, now=0.0))
    before = built_of(made, KEY)

    assert KEY in made.put_service(KEY, replace(losing, shown=frozenset()))
    assert built_of(made, KEY) == anew(made, 0.0)[KEY] != before


def built_of(made: Incremental, key: ServiceKey) -> Derived:
    derived = made.derived(key, 0.0)
    assert derived is not None
    return derived


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
    key, entry = added
    made.put_service(key, entry)
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
    world: World, name: str, copies: dict[str, Offer]
) -> None:
    made = built(world)
    before, (key, entry) = derivations(made, world.now), next(iter(world.services.items()))
    take(made, ("offer", name, copies))
    made.put_service(key, replace(entry, offers={**entry.offers, name: WEB}))
    derivations(made, world.now)
    for each, was in world.services.items():
        made.put_service(each, was)

    assert derivations(made, world.now) == before


@given(worlds)
@FEW
def test_putting_what_is_there_touches_nothing(world: World) -> None:
    made = built(world)

    assert made.put_members(dict(world.members)) == set()
    for key, entry in world.services.items():
        assert made.put_service(key, replace(entry)) == set()


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
        pytest.param(
            {**fleet("a", "b"), "c": member("c", data_path=True)}, {KEY, OTHER, ABROAD}, id="the data path"
        ),
    ],
)
def test_a_change_of_a_member_touches_only_its_services(
    members: Mapping[str, Member], touched: set[ServiceKey]
) -> None:
    made = Incremental()
    made.put_members(fleet("a", "b", "c"))
    made.put_service(KEY, offered({"a": WEB, "b": WEB}))
    made.put_service(OTHER, offered({"b": ELSEWHERE}, key=OTHER))
    made.put_service(ABROAD, offered({"c": HEADLESS}, key=ABROAD))

    assert made.put_members(members) == touched
    assert isinstance(made.fleet, Fleet)


def test_a_deleted_service_is_not_touched_any_more() -> None:
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
    first, second, third = names
    made.put_service(first, offered({"a": WEB}, key=first, created=old))
    made.put_service(third, offered({"a": ELSEWHERE}, key=third, created=old))

    assert made.put_service(second, offered({"a": WEB}, key=second, created="2026-06-01T00:00:00Z")) == {
        second
    }
    assert made.put_service(second, offered({"a": WEB}, key=second, created=older)) == {first, second}
    assert made.put_service(first, offered({"b": WEB}, key=first, created=old)) == {first}
    assert made.put_service(second, None) == {second}


@given(of_one_service.flatmap(lambda world: st.tuples(st.just(world), moved(world))))
@FEWER
def test_one_world_becomes_another(both: tuple[World, World]) -> None:
    first, second = both
    made = built(first)
    made.put_members(second.members)
    for key, entry in second.services.items():
        made.put_service(key, entry)

    assert derivations(made, second.now) == anew(made, second.now)

"""Who lags behind, and when the template is touched for it."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from tests.support.worlds import KEY
from towpath.controller.backoff import PATIENCE
from towpath.controller.rollout.decide import Convergence
from towpath.controller.rollout.load import MANY, Underway
from towpath.controller.rollout.throttle import AGAIN, BUSY, QUIET, TELLING, Telling
from towpath.model.keys import ServiceKey

WANTED = {"a": "1", "b": "2"}


def nothing_yet(underway: Underway | None = None) -> Convergence:
    underway = underway or Underway()
    return Convergence(underway, Telling(underway))


def other(name: str) -> ServiceKey:
    return KEY._replace(name=name)


def test_members_that_hold_what_was_derived_are_left_alone() -> None:
    convergence = nothing_yet()

    seen = convergence.look(KEY, WANTED, {"a": "1", "b": "2", "c": "3"}, (), now=0)

    assert (seen.behind, seen.touch, convergence.lagging) == ((), False, ())


def test_one_that_stays_behind_is_touched_for_and_then_ever_less_often() -> None:
    convergence, now, touches = nothing_yet(), 100.0, [100.0]
    while len(touches) < 9:
        seen = convergence.look(KEY, WANTED, {"a": "1"}, (), now)
        if seen.touch:
            touches.append(now)
            assert not convergence.look(KEY, WANTED, {"a": "1"}, (), now).touch
        now = seen.look_again

    pauses = [after - before for before, after in itertools.pairwise(touches)]
    assert pauses == [*PATIENCE, *[PATIENCE[-1]] * 3]


def test_a_new_view_gives_new_patience() -> None:
    convergence = nothing_yet()
    convergence.look(KEY, WANTED, {}, (), now=0)
    newer = {"a": "9", "b": "2"}

    assert not convergence.look(KEY, newer, {}, (), now=PATIENCE[0]).touch
    assert convergence.look(KEY, newer, {}, (), now=2 * PATIENCE[0]).touch


def test_nothing_is_touched_for_members_that_cannot_be_reached() -> None:
    convergence = nothing_yet()
    for now in (0.0, 10.0, 1000.0):
        seen = convergence.look(KEY, WANTED, {"a": "1"}, ("b",), now)
        assert (seen.behind, seen.touch) == (("b",), False)

    assert convergence.lagging == (KEY,), "it is looked at again when the member returns"
    assert convergence.look(KEY, WANTED, {"a": "1"}, (), now=1001.0).touch


def test_what_has_only_begun_is_not_worth_saying_and_what_goes_on_ever_less_often() -> None:
    told: list[float] = []
    convergence, now = nothing_yet(), 0.0
    while len(told) < 6:
        seen = convergence.look(KEY, WANTED, {"a": "1"}, (), now)
        if not seen.is_moving:
            told.append(now)
        now = seen.look_again

    pauses = [after - before for before, after in itertools.pairwise([0.0, *told])]
    assert pauses == [*TELLING, *[TELLING[-1]] * 2]


def test_what_changes_again_and_again_is_told_of_all_the_same() -> None:
    convergence = nothing_yet()
    seen = [
        convergence.look(KEY, {"a": str(number)}, {}, (), now=number * TELLING[0] / 2).is_moving
        for number in range(8)
    ]
    assert seen == [True, True, False, True, True, False, True, True]


def test_nothing_is_touched_while_karmada_gets_on_with_its_work() -> None:
    convergence = nothing_yet()
    for number in range(20):
        convergence.look(other(f"s{number}"), WANTED, {}, (), now=0)
    for number in range(19):
        convergence.look(other(f"s{number}"), WANTED, WANTED, (), now=number + 1.0)
        seen = convergence.look(other("s19"), WANTED, {}, (), now=number + 1.5)
        assert not seen.touch

    quiet = 19.0 + PATIENCE[0]
    assert not convergence.look(other("s19"), WANTED, {}, (), quiet - 0.1).touch
    assert convergence.look(other("s19"), WANTED, {}, (), quiet).touch


def test_what_has_been_overtaken_is_touched_however_busy_karmada_is() -> None:
    convergence = nothing_yet()
    convergence.look(KEY, WANTED, {}, (), now=0)
    convergence.look(other("later"), WANTED, {}, (), now=PATIENCE[0])
    convergence.look(other("later"), WANTED, WANTED, (), now=PATIENCE[0] + 0.5)

    assert convergence.look(KEY, WANTED, {}, (), now=PATIENCE[0] + 0.5).touch


def test_the_time_counts_from_the_change_and_not_from_the_first_look() -> None:
    convergence = nothing_yet()
    convergence.look(KEY, WANTED, {}, (), now=10.0, since=7.0)
    convergence.look(KEY, WANTED, {"a": "1"}, (), now=10.5, since=10.4)

    assert convergence.look(KEY, WANTED, WANTED, (), now=11.0).took == 4.0
    assert convergence.look(KEY, WANTED, WANTED, (), now=12.0, since=11.5).took is None


def test_what_is_gone_is_forgotten() -> None:
    convergence = nothing_yet()
    convergence.look(KEY, WANTED, {}, (), now=0)
    convergence.forget(KEY)
    assert not convergence.lagging


names = st.sampled_from(["a", "b", "c"])
digests = st.dictionaries(names, st.sampled_from(["1", "2"]))


@given(st.lists(st.tuples(digests, digests, st.sets(names), st.floats(0, 20)), max_size=20))
def test_between_two_touches_there_is_patience(
    looks: list[tuple[dict[str, str], dict[str, str], set[str], float]],
) -> None:
    convergence, now = nothing_yet(), 0.0
    last: dict[str, float] = {}
    for wanted, held, lost, passes in looks:
        now += passes
        seen = convergence.look(KEY, wanted, held, lost, now)
        assert set(seen.behind) == {name for name in wanted if held.get(name) != wanted[name]}
        if seen.touch:
            assert not set(seen.behind) <= lost
            assert now - last.get("touch", -PATIENCE[0]) >= PATIENCE[0]
            last["touch"] = now


def test_while_much_is_on_its_way_it_is_told_less_often() -> None:
    convergence = nothing_yet(underway := Underway())
    for number in range(5 * MANY):
        convergence.look(other(f"web-{number}"), {"a": "new"}, {}, (), 0.0)
    assert underway.is_busy

    first, told = other("web-0"), 5 * TELLING[BUSY]
    assert convergence.look(first, {"a": "new"}, {}, (), told - 0.1).is_moving
    assert not convergence.look(first, {"a": "new"}, {}, (), told).is_moving


def test_while_much_is_on_its_way_an_arrival_is_told_later_but_told() -> None:
    convergence = nothing_yet(underway := Underway())
    for number in range(2 * MANY):
        convergence.look(other(f"web-{number}"), {"a": "new"}, {}, (), 0.0)

    arrived = convergence.look(other("web-0"), {"a": "new"}, {"a": "new"}, (), 1.0)
    assert (arrived.took, arrived.is_moving, arrived.look_again) == (1.0, True, 1.0 + AGAIN)
    again = convergence.look(other("web-0"), {"a": "new"}, {"a": "new"}, (), 1.0 + AGAIN)
    assert (again.took, again.is_moving) == (None, True)
    assert not convergence.look(other("web-0"), {"a": "new"}, {"a": "new"}, (), 1.0 + QUIET).is_moving
    assert underway.is_busy
    assert not convergence.look(other("cart"), {"a": "x"}, {"a": "x"}, (), 1.0).is_moving, "it was there"

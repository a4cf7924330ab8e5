"""Who lags behind, and when the template is touched for it."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from tests.support.worlds import KEY
from towpath.controller.backoff import TOUCH_DELAYS_SECONDS
from towpath.controller.rollout.decide import Rollouts
from towpath.controller.rollout.load import SERVICES_WHEN_BUSY, Load
from towpath.controller.rollout.throttle import (
    ARRIVAL_CHECK_SECONDS,
    ARRIVAL_DELAY_SECONDS,
    BUSY_STEPS,
    LAG_DELAYS_SECONDS,
    StatusThrottle,
)
from towpath.model.keys import ServiceKey

WANTED = {"a": "1", "b": "2"}


def nothing_yet(load: Load | None = None) -> Rollouts:
    load = load or Load()
    return Rollouts(load, StatusThrottle(load))


def other(name: str) -> ServiceKey:
    return KEY._replace(name=name)


def test_members_that_hold_what_was_derived_are_left_alone() -> None:
    rollouts = nothing_yet()

    seen = rollouts.look(KEY, WANTED, {"a": "1", "b": "2", "c": "3"}, (), now=0)

    assert (seen.behind, seen.touch, rollouts.lagging) == ((), False, ())


def test_a_cluster_that_lags_is_touched_ever_less_often() -> None:
    rollouts, now, touches = nothing_yet(), 100.0, [100.0]
    while len(touches) < 9:
        seen = rollouts.look(KEY, WANTED, {"a": "1"}, (), now)
        if seen.touch:
            touches.append(now)
            assert not rollouts.look(KEY, WANTED, {"a": "1"}, (), now).touch
        now = seen.look_again

    pauses = [after - before for before, after in itertools.pairwise(touches)]
    assert pauses == [*TOUCH_DELAYS_SECONDS, *[TOUCH_DELAYS_SECONDS[-1]] * 3]


def test_a_new_view_gives_new_patience() -> None:
    rollouts = nothing_yet()
    rollouts.look(KEY, WANTED, {}, (), now=0)
    newer = {"a": "9", "b": "2"}

    assert not rollouts.look(KEY, newer, {}, (), now=TOUCH_DELAYS_SECONDS[0]).touch
    assert rollouts.look(KEY, newer, {}, (), now=2 * TOUCH_DELAYS_SECONDS[0]).touch


def test_the_time_until_a_touch_begins_with_the_last_write() -> None:
    rollouts, delay = nothing_yet(), TOUCH_DELAYS_SECONDS[0]
    rollouts.look(KEY, WANTED, {}, (), now=0)
    rollouts.look(KEY, WANTED, {}, (), now=delay / 2, writing=True)

    assert not rollouts.look(KEY, WANTED, {}, (), now=delay).touch
    assert rollouts.look(KEY, WANTED, {}, (), now=delay * 1.5).touch


def test_nothing_is_touched_for_members_that_cannot_be_reached() -> None:
    rollouts = nothing_yet()
    for now in (0.0, 10.0, 1000.0):
        seen = rollouts.look(KEY, WANTED, {"a": "1"}, ("b",), now)
        assert (seen.behind, seen.touch) == (("b",), False)

    assert rollouts.lagging == (KEY,), "it is looked at again when the member returns"
    assert rollouts.look(KEY, WANTED, {"a": "1"}, (), now=1001.0).touch


def test_a_lost_member_does_not_hold_up_another() -> None:
    rollouts = nothing_yet()
    rollouts.look(KEY, WANTED, {}, ("b",), now=0)

    seen = rollouts.look(KEY, WANTED, {}, ("b",), now=TOUCH_DELAYS_SECONDS[0])
    assert (seen.behind, seen.touch) == (("a", "b"), True)


def test_progress_is_reported_ever_less_often() -> None:
    reports: list[float] = []
    rollouts, now = nothing_yet(), 0.0
    while len(reports) < 6:
        seen = rollouts.look(KEY, WANTED, {"a": "1"}, (), now)
        if not seen.hold_status:
            reports.append(now)
        now = seen.look_again

    pauses = [after - before for before, after in itertools.pairwise([0.0, *reports])]
    assert pauses == [*LAG_DELAYS_SECONDS, *[LAG_DELAYS_SECONDS[-1]] * 2]


def test_a_service_that_keeps_changing_is_reported_all_the_same() -> None:
    rollouts = nothing_yet()
    seen = [
        rollouts.look(KEY, {"a": str(number)}, {}, (), now=number * LAG_DELAYS_SECONDS[0] / 2).hold_status
        for number in range(8)
    ]
    assert seen == [True, True, False, True, True, False, True, True]


def test_nothing_is_touched_while_karmada_gets_on_with_its_work() -> None:
    rollouts = nothing_yet()
    for number in range(20):
        rollouts.look(other(f"s{number}"), WANTED, {}, (), now=0)
    for number in range(19):
        rollouts.look(other(f"s{number}"), WANTED, WANTED, (), now=number + 1.0)
        seen = rollouts.look(other("s19"), WANTED, {}, (), now=number + 1.5)
        assert not seen.touch

    quiet = 19.0 + TOUCH_DELAYS_SECONDS[0]
    assert not rollouts.look(other("s19"), WANTED, {}, (), quiet - 0.1).touch
    due = rollouts.look(other("s19"), WANTED, {}, (), quiet).look_again
    assert quiet < due < 2 * 19.0, "at most twice as long as the others took"
    assert rollouts.look(other("s19"), WANTED, {}, (), due).touch


def test_an_early_override_is_touched_however_busy_karmada_is() -> None:
    rollouts = nothing_yet()
    rollouts.look(KEY, WANTED, {}, (), now=0)
    rollouts.look(other("later"), WANTED, {}, (), now=TOUCH_DELAYS_SECONDS[0])
    rollouts.look(other("later"), WANTED, WANTED, (), now=TOUCH_DELAYS_SECONDS[0] + 0.5)

    assert rollouts.look(KEY, WANTED, {}, (), now=TOUCH_DELAYS_SECONDS[0] + 0.5).touch


def test_the_time_counts_from_the_change() -> None:
    rollouts = nothing_yet()
    rollouts.look(KEY, WANTED, {}, (), now=10.0, since=7.0)
    rollouts.look(KEY, WANTED, {"a": "1"}, (), now=10.5, since=10.4)

    assert rollouts.look(KEY, WANTED, WANTED, (), now=11.0).seconds == 4.0
    assert rollouts.look(KEY, WANTED, WANTED, (), now=12.0, since=11.5).seconds is None


def test_a_deleted_object_is_forgotten() -> None:
    rollouts = nothing_yet()
    rollouts.look(KEY, WANTED, {}, (), now=0)
    rollouts.forget(KEY)
    assert not rollouts.lagging


names = st.sampled_from(["a", "b", "c"])
digests = st.dictionaries(names, st.sampled_from(["1", "2"]))


@given(st.lists(st.tuples(digests, digests, st.sets(names), st.floats(0, 20)), max_size=20))
def test_between_two_touches_there_is_patience(
    looks: list[tuple[dict[str, str], dict[str, str], set[str], float]],
) -> None:
    rollouts, now = nothing_yet(), 0.0
    last: dict[str, float] = {}
    for wanted, held, lost, passes in looks:
        now += passes
        seen = rollouts.look(KEY, wanted, held, lost, now)
        assert set(seen.behind) == {name for name in wanted if held.get(name) != wanted[name]}
        if seen.touch:
            assert not set(seen.behind) <= lost
            assert now - last.get("touch", -TOUCH_DELAYS_SECONDS[0]) >= TOUCH_DELAYS_SECONDS[0]
            last["touch"] = now


def test_while_much_is_on_its_way_it_is_reported_less_often() -> None:
    rollouts = nothing_yet(load := Load())
    for number in range(5 * SERVICES_WHEN_BUSY):
        rollouts.look(other(f"web-{number}"), {"a": "new"}, {}, (), 0.0)
    assert load.is_busy

    first, due = other("web-0"), 5 * LAG_DELAYS_SECONDS[BUSY_STEPS]
    assert rollouts.look(first, {"a": "new"}, {}, (), due - 0.1).hold_status
    assert not rollouts.look(first, {"a": "new"}, {}, (), due).hold_status


def test_under_load_an_arrival_is_reported_later() -> None:
    rollouts = nothing_yet(load := Load())
    for number in range(2 * SERVICES_WHEN_BUSY):
        rollouts.look(other(f"web-{number}"), {"a": "new"}, {}, (), 0.0)

    arrived = rollouts.look(other("web-0"), {"a": "new"}, {"a": "new"}, (), 1.0)
    assert (arrived.seconds, arrived.hold_status, arrived.look_again) == (
        1.0,
        True,
        1.0 + ARRIVAL_CHECK_SECONDS,
    )
    again = rollouts.look(other("web-0"), {"a": "new"}, {"a": "new"}, (), 1.0 + ARRIVAL_CHECK_SECONDS)
    assert (again.seconds, again.hold_status) == (None, True)
    assert not rollouts.look(
        other("web-0"), {"a": "new"}, {"a": "new"}, (), 1.0 + ARRIVAL_DELAY_SECONDS
    ).hold_status
    assert load.is_busy
    assert not rollouts.look(other("cart"), {"a": "x"}, {"a": "x"}, (), 1.0).hold_status, "it was there"

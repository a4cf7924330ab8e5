"""When derived propagation is written, and when Karmada is made to look at a template again."""

from __future__ import annotations

import math

import pytest

from towpath.controller.backoff import PATIENCE
from towpath.controller.followpolicy.decide import MOMENT, Step, Stepping


def looks(
    *moments: float, selected: bool = False, missing: bool = False, claimed: bool = False
) -> list[tuple[Step, float]]:
    stepping = Stepping()
    seen = [
        stepping.look("web", selected=selected, missing=missing, claimed=claimed, now=now) for now in moments
    ]
    return [(one.step, one.look_again) for one in seen]


def test_a_template_that_nobody_selects_gets_a_policy_after_a_moment() -> None:
    assert looks(0.0, MOMENT - 0.1, MOMENT, missing=True) == [
        (Step.NOTHING, MOMENT),
        (Step.NOTHING, MOMENT),
        (Step.WRITE, math.inf),
    ]


@pytest.mark.parametrize(("selected", "claimed"), [(True, True), (False, False), (False, True)])
def test_nothing_is_done_about_what_is_as_it_should_be(selected: bool, claimed: bool) -> None:
    assert looks(0.0, 1000.0, selected=selected, claimed=claimed) == [(Step.NOTHING, math.inf)] * 2


def test_a_policy_of_the_user_that_comes_within_the_moment_is_waited_for() -> None:
    stepping = Stepping()
    stepping.look("web", selected=False, missing=True, claimed=False, now=0.0)
    stepping.look("web", selected=True, missing=False, claimed=True, now=1.0)

    again = stepping.look("web", selected=False, missing=True, claimed=False, now=MOMENT)
    assert again == (Step.NOTHING, 2 * MOMENT)


def test_karmada_is_made_to_look_at_what_is_selected_and_not_claimed_ever_less_often() -> None:
    first, second = PATIENCE[0], PATIENCE[0] + PATIENCE[1]

    assert looks(0.0, first, first + 1, second, selected=True) == [
        (Step.NOTHING, first),
        (Step.TOUCH, second),
        (Step.NOTHING, second),
        (Step.TOUCH, second + PATIENCE[2]),
    ]


def test_touching_never_ends_and_never_comes_more_often_than_the_longest_patience() -> None:
    stepping, now = Stepping(), 0.0
    for _ in range(20):
        _, now = stepping.look("web", selected=True, missing=False, claimed=False, now=now)

    step, again = stepping.look("web", selected=True, missing=False, claimed=False, now=now)
    assert (step, again - now) == (Step.TOUCH, PATIENCE[-1])


def test_while_much_is_on_its_way_everything_selected_waits_longer_and_what_is_missing_does_not() -> None:
    stepping, slow = Stepping(), 4.0
    selected = {"selected": True, "missing": False, "claimed": False}
    stepping.look("web", **selected, now=0.0, pace=slow)

    assert stepping.look("web", **selected, now=PATIENCE[0], pace=slow) == (Step.NOTHING, slow * PATIENCE[0])
    assert stepping.look("web", **selected, now=PATIENCE[0]).step is Step.TOUCH

    missing = {"selected": False, "missing": True, "claimed": False}
    stepping.look("cart", **missing, now=0.0, pace=slow)
    assert stepping.look("cart", **missing, now=MOMENT, pace=slow).step is Step.WRITE

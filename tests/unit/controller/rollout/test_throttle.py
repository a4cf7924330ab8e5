"""When a user is told how a service arrives: what is not in ``test_convergence``, which tells it."""

from __future__ import annotations

import math

import pytest

from tests.support.worlds import KEY
from towpath.controller.rollout.load import MANY, SLOWEST, Underway
from towpath.controller.rollout.throttle import BINDING, LONGEST, TELLING, Telling
from towpath.model.keys import ServiceKey


def several(number: int) -> list[ServiceKey]:
    return [KEY._replace(name=f"web-{n}") for n in range(number)]


@pytest.mark.parametrize(
    ("unbound", "lagging", "pace"),
    [
        (0, 0, 1.0),
        (MANY, 0, 1.0),
        (MANY, MANY, 2.0),
        (0, MANY + 1, 1 + 1 / MANY),
        (50 * MANY, 0, SLOWEST),
    ],
)
def test_all_that_is_on_its_way_slows_each_down(unbound: int, lagging: int, pace: float) -> None:
    underway = Underway()
    underway.unbound.update(several(unbound))
    underway.lagging.update(several(lagging))
    assert (underway.pace, underway.is_busy) == (pace, pace > 1)


def test_who_lags_is_not_told_while_members_get_on_but_after_the_longest_time() -> None:
    telling = Telling(underway := Underway())
    telling.begin(KEY, now=0.0)
    now, told = 0.0, []
    while now < 2 * LONGEST:
        underway.progress = now
        now += TELLING[0] / 2
        if telling.lags(KEY, now, at_once=False).is_now:
            told.append(now)
    assert told == [LONGEST, 2 * LONGEST]


def test_that_an_export_is_bound_nowhere_is_told_when_it_should_have_been() -> None:
    telling = Telling(Underway())

    assert telling.unbound(KEY, None, now=9.0) == math.inf, "nobody knows since when"
    assert telling.unbound(KEY, 10.0, now=11.0) == 10 + BINDING
    assert telling.unbound(KEY, 10.0, now=10.0 + BINDING) == math.inf


def test_among_many_each_is_given_its_turn() -> None:
    telling = Telling(underway := Underway())
    many = several(4 * MANY)
    for key in many:
        telling.unbound(key, 0.0, now=0.1)

    assert underway.is_busy
    assert telling.unbound(many[0], 0.0, now=BINDING) == 4 * BINDING
    for key in many[MANY : 2 * MANY]:
        telling.bound(key)
    for key in many[2 * MANY :]:
        telling.forget(key)
    assert telling.unbound(many[0], 0.0, now=BINDING) == math.inf
    assert not underway.is_busy

"""How much longer than usual things take while much is in flight, or while Karmada is slow."""

from __future__ import annotations

import math

from tests.support.worlds import KEY
from towpath.controller.backoff import TOUCH_DELAYS_SECONDS
from towpath.controller.rollout.decide import Rollouts
from towpath.controller.rollout.load import MAX_PACE, SERVICES_WHEN_BUSY, USUAL_SECONDS, Load
from towpath.controller.rollout.throttle import BINDING_GRACE_SECONDS, StatusThrottle
from towpath.model.keys import ServiceKey

STUCK, TURN = KEY._replace(name="stuck"), TOUCH_DELAYS_SECONDS[0]


def several(number: int) -> list[ServiceKey]:
    return [KEY._replace(name=f"web-{n}") for n in range(number)]


def arriving(load: Load, number: int, seconds: float) -> None:
    """Let so many services arrive, each after so long."""
    for key in several(number):
        load.lagging.add(key)
        load.leave_lagging(key, seconds)


def test_what_arrives_late_slows_what_is_still_in_flight() -> None:
    load = Load()
    load.lagging.add(STUCK)
    arriving(load, 50, 4 * USUAL_SECONDS)

    assert 3.9 < load.pace <= 4.0
    assert not load.is_busy, "little is in flight, so arrivals are reported at once"
    arriving(load, 50, USUAL_SECONDS / 10)
    assert load.pace == 1.0


def test_one_late_arrival_among_many_changes_little() -> None:
    load = Load()
    load.lagging.add(STUCK)
    arriving(load, 20, USUAL_SECONDS / 10)
    arriving(load, 1, 4 * USUAL_SECONDS)

    assert load.pace == 1.0


def test_the_past_is_over_when_nothing_is_in_flight() -> None:
    load = Load()
    load.lagging.add(STUCK)
    arriving(load, SERVICES_WHEN_BUSY, 1000.0)
    assert load.pace == MAX_PACE
    load.leave_lagging(STUCK)
    load.lagging.add(STUCK)

    assert load.pace == 1.0


def test_on_a_slow_karmada_less_is_touched() -> None:
    """A service begins every second, and every other one takes long: later ones overtake it."""
    load = Load()
    rollouts, touched, keys = Rollouts(load, StatusThrottle(load)), [], several(100)
    for tick in range(1200):
        now = tick / 10
        for n, key in enumerate(keys):
            took = 3 * TURN if n % 2 else TURN
            if n <= now <= n + took + 0.1:
                has = {"a": "1"} if now >= n + took else {}
                if rollouts.look(key, {"a": "1"}, has, (), now).touch:
                    touched.append(n)
    assert touched == [n for n in touched if n < 10], "then it is known how long it takes"


def test_a_lost_member_says_nothing_about_karmada() -> None:
    load = Load()
    rollouts = Rollouts(load, StatusThrottle(load))
    load.lagging.add(STUCK)
    for key in several(20):
        rollouts.look(key, {"a": "1"}, {}, ("a",), now=0.0)
        rollouts.look(key, {"a": "1"}, {"a": "1"}, (), now=600.0)

    assert load.pace == 1.0


def test_an_export_that_is_bound_late_gives_others_more_time() -> None:
    throttle = StatusThrottle(Load())
    for key in (STUCK, *several(10)):
        throttle.unbound(key, 0.0, now=0.1)
    for key in several(10):
        throttle.bound(key, 0.0, now=2 * BINDING_GRACE_SECONDS)

    until = throttle.unbound(STUCK, 0.0, now=BINDING_GRACE_SECONDS)
    assert 2 * BINDING_GRACE_SECONDS < until < math.inf

"""When the progress of a rollout is written to a status: the cases that ``test_decide`` does not cover."""

from __future__ import annotations

import math

import pytest

from tests.support.worlds import KEY
from towpath.controller.rollout.load import MAX_PACE, SERVICES_WHEN_BUSY, Load
from towpath.controller.rollout.throttle import (
    BINDING_GRACE_SECONDS,
    LAG_DELAYS_SECONDS,
    MAX_BUSY_LAG_DELAY_SECONDS,
    MAX_LAG_DELAY_SECONDS,
    StatusThrottle,
)
from towpath.model.keys import ServiceKey


def several(number: int) -> list[ServiceKey]:
    return [KEY._replace(name=f"web-{n}") for n in range(number)]


@pytest.mark.parametrize(
    ("unbound", "lagging", "pace"),
    [
        (0, 0, 1.0),
        (SERVICES_WHEN_BUSY, 0, 1.0),
        (SERVICES_WHEN_BUSY, SERVICES_WHEN_BUSY, 2.0),
        (0, SERVICES_WHEN_BUSY + 1, 1 + 1 / SERVICES_WHEN_BUSY),
        (50 * SERVICES_WHEN_BUSY, 0, MAX_PACE),
    ],
)
def test_all_that_is_on_its_way_slows_each_down(unbound: int, lagging: int, pace: float) -> None:
    load = Load()
    load.unbound.update(several(unbound))
    load.lagging.update(several(lagging))
    assert (load.pace, load.is_busy) == (pace, pace > 1)


@pytest.mark.parametrize(
    ("others", "longest"),
    [(0, MAX_LAG_DELAY_SECONDS), (SERVICES_WHEN_BUSY + 1, MAX_BUSY_LAG_DELAY_SECONDS)],
    ids=["alone", "busy"],
)
def test_a_lag_is_reported_when_progress_stops_or_takes_long(others: int, longest: float) -> None:
    throttle = StatusThrottle(load := Load())
    load.lagging.update(several(others))
    throttle.begin(KEY, now=0.0)
    now, reports = 0.0, []
    while now < 2 * longest:
        load.progress = now
        now += LAG_DELAYS_SECONDS[0] / 2
        if throttle.lags(KEY, now, at_once=False).is_now:
            reports.append(now)
    assert reports == [longest, 2 * longest]


def test_an_overdue_binding_of_an_export_is_reported() -> None:
    throttle = StatusThrottle(Load())

    assert throttle.unbound(KEY, None, now=9.0) == math.inf, "the time is unknown"
    assert throttle.unbound(KEY, 10.0, now=11.0) == 10 + BINDING_GRACE_SECONDS
    assert throttle.unbound(KEY, 10.0, now=10.0 + BINDING_GRACE_SECONDS) == math.inf


def test_among_many_each_is_given_its_turn() -> None:
    throttle = StatusThrottle(load := Load())
    many = several(4 * SERVICES_WHEN_BUSY)
    for key in many:
        throttle.unbound(key, 0.0, now=0.1)

    assert load.is_busy
    assert throttle.unbound(many[0], 0.0, now=BINDING_GRACE_SECONDS) == 4 * BINDING_GRACE_SECONDS
    for key in many[SERVICES_WHEN_BUSY : 2 * SERVICES_WHEN_BUSY]:
        throttle.bound(key, 0.0, now=0.2)
    for key in many[2 * SERVICES_WHEN_BUSY :]:
        throttle.forget(key)
    assert throttle.unbound(many[0], 0.0, now=BINDING_GRACE_SECONDS) == math.inf
    assert not load.is_busy

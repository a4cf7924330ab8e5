"""What counts as another rate."""

from __future__ import annotations

import pytest

from towpath.rules.reasons import TrafficReason
from towpath.traffic.rates import Measurement, Pair, Rate, steady

AB = Pair("a", "b")


@pytest.mark.parametrize(
    ("before", "now", "shown"),
    [
        (None, 123.4, 120.0),
        (None, 0.0123, 0.012),
        (None, 0.0, 0.0),
        (100.0, 109.0, 100.0),
        (100.0, 91.0, 100.0),
        (100.0, 112.0, 110.0),
        (100.0, 88.0, 88.0),
        (0.0, 0.006, 0.006),
        (0.006, 0.0, 0.0),
    ],
)
def test_a_rate_stays_while_it_is_about_the_same(before: float | None, now: float, shown: float) -> None:
    known = {} if before is None else {AB: Rate(before, 0.0)}
    assert steady(known, {AB: Rate(now, 0.0)}) == {AB: Rate(shown, 0.0)}


def test_a_slow_rise_is_not_missed() -> None:
    """Each step is small against the one before, and all of them together are not."""
    shown = {AB: Rate(100.0, None)}
    for percent in range(1, 101):
        shown = dict(steady(shown, {AB: Rate(100.0 + percent, None)}))
        assert shown[AB].requests == pytest.approx(100 + percent, rel=0.15)


def test_errors_are_never_more_than_requests() -> None:
    assert steady({AB: Rate(10.0, 10.0)}, {AB: Rate(9.1, 9.1)}) == {AB: Rate(10.0, 10.0)}
    assert steady({AB: Rate(10.0, 1.0)}, {AB: Rate(10.9, 10.9)}) == {AB: Rate(10.0, 10.0)}


def test_errors_that_are_not_counted_are_not_zero() -> None:
    assert steady({AB: Rate(10.0, 1.0)}, {AB: Rate(10.0, None)}) == {AB: Rate(10.0, None)}


def test_the_same_rates_are_the_same_object() -> None:
    before = {AB: Rate(10.0, 1.0)}
    assert steady(before, {AB: Rate(10.4, 1.04)}) is before
    assert steady(before, {}) == {}


def test_a_text_names_the_detail() -> None:
    assert Measurement(at=1.0).text == ""
    text = Measurement(reason=TrafficReason.UNREACHABLE, detail="timed out").text
    assert text == f"timed out: {TrafficReason.UNREACHABLE.text}"
    assert Measurement(reason=TrafficReason.NO_SERIES).text == TrafficReason.NO_SERIES.text

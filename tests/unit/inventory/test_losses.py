"""A grace is not shortened by a wall clock that is wrong or is set."""

from __future__ import annotations

from towpath.inventory.losses import Losses
from towpath.rules.reachability import standing

GRACE, DAY = 300.0, 86_400.0


class Clocks:
    """A wall clock and a monotonic one."""

    def __init__(self, ahead: float = 0.0) -> None:
        self.steady, self.ahead = 50.0, ahead

    @property
    def karmada(self) -> float:
        """The right time."""
        return 1_800_000_000.0 + self.steady

    def wall(self) -> float:
        return self.karmada + self.ahead


def watching(clocks: Clocks) -> Losses:
    losses = Losses(clocks.wall, lambda: clocks.steady)
    losses.begin()
    return losses


def is_withdrawn(losses: Losses, clocks: Clocks, reported: float) -> bool:
    now = clocks.wall()
    losses.is_moved(now)
    lost = {"a": losses.since("a", reported), "b": None}
    return bool(standing(lost, GRACE, now).withdrawn)


def test_a_clock_that_is_ahead_does_not_shorten_a_grace() -> None:
    clocks = Clocks(ahead=DAY)
    losses, reported = watching(clocks), clocks.karmada
    for seconds, gone in ((0, False), (100, False), (199, False), (1, True)):
        clocks.steady += seconds
        assert is_withdrawn(losses, clocks, reported) is gone


def test_a_clock_that_is_set_forward_does_not_shorten_a_grace() -> None:
    clocks = Clocks()
    losses, reported = watching(clocks), clocks.karmada
    assert not is_withdrawn(losses, clocks, reported)
    clocks.ahead = DAY
    clocks.steady += 100
    assert not is_withdrawn(losses, clocks, reported)
    clocks.steady += 200
    assert is_withdrawn(losses, clocks, reported)


def test_a_right_clock_waits_no_longer_than_before() -> None:
    clocks = Clocks()
    losses, reported = watching(clocks), clocks.karmada
    since = losses.since("a", reported)
    clocks.steady += 10

    assert since == reported == losses.since("a", reported)
    assert not losses.is_moved(clocks.wall())


def test_a_member_that_was_lost_before_keeps_karmadas_time() -> None:
    """Or every restart would bring its endpoints back."""
    clocks = Clocks()
    losses = Losses(clocks.wall, lambda: clocks.steady)
    assert losses.since("a", 1.0) == 1.0
    losses.begin()

    assert losses.since("a", 1.0) == 1.0
    assert losses.since("a", None) is None
    assert losses.since("a", clocks.karmada - 5) == clocks.karmada

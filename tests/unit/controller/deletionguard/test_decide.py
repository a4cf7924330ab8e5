"""When everything is listed again because a list may be wrong."""

from __future__ import annotations

from itertools import pairwise

from towpath.controller.deletionguard.decide import MAX_RELIST_SECONDS, Relisting


def test_doubtful_lists_are_repeated_ever_less_often() -> None:
    relisting = Relisting()
    asked = [now for now in range(100) if relisting.is_due(float(now))]
    assert asked == [0, 1, 3, 7, 15, 31, 63]
    relisting.calm()
    assert relisting.is_due(100.0), "another doubt"


def test_repeated_lists_keep_within_the_longest_pause() -> None:
    relisting = Relisting()
    asked = [now for now in range(3000) if relisting.is_due(float(now))]
    assert {later - earlier for earlier, later in pairwise(asked[10:])} == {MAX_RELIST_SECONDS}

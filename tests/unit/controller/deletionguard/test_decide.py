"""How much may be withdrawn at once."""

from __future__ import annotations

from itertools import pairwise

from towpath.controller.deletionguard.decide import (
    CONFIRMATION_SECONDS,
    MAX_RELIST_SECONDS,
    MIN_ALLOWED,
    SETTLING_SECONDS,
    WINDOW_SECONDS,
    Limit,
    Relisting,
    Verdict,
)
from towpath.model.keys import Dialect, ServiceKey

KEYS = [ServiceKey(Dialect.FLOMESH, "shop", f"s{number}") for number in range(100)]


def asked(limit: Limit, keys: list[ServiceKey], now: float = 0.0, existing: int = 100) -> list[Verdict]:
    """Let all of them come before the first is judged, as they do while others are due."""
    for key in keys:
        limit.ask(key, existing, now, idle=False)
    return [limit.ask(key, existing, now, idle=True) for key in keys]


def test_a_few_may_go() -> None:
    assert asked(Limit(), KEYS[:MIN_ALLOWED]) == [Verdict.GO] * MIN_ALLOWED


def test_where_there_are_few_all_may_go() -> None:
    assert asked(Limit(), KEYS[:3], existing=3) == [Verdict.GO] * 3


def test_of_many_none_may_go_not_even_the_first() -> None:
    assert set(asked(Limit(), KEYS[:60])) == {Verdict.REFUSED}


def test_a_share_may_go() -> None:
    assert set(asked(Limit(), KEYS[:30])) == {Verdict.GO}
    assert set(asked(Limit(share=0.2), KEYS[:30])) == {Verdict.REFUSED}


def test_deletions_one_by_one_are_limited_as_well() -> None:
    limit, left = Limit(), 100
    verdicts = []
    for number, key in enumerate(KEYS):
        verdict = limit.ask(key, left, number * 0.1, idle=True)
        verdicts.append(verdict)
        left -= verdict is Verdict.GO

    assert verdicts.count(Verdict.GO) == 30
    assert verdicts[30:] == [Verdict.REFUSED] * 70


def test_later_others_may_go() -> None:
    limit = Limit()
    assert set(asked(limit, KEYS[:30])) == {Verdict.GO}
    assert limit.ask(KEYS[30], 70, 1, idle=True) is Verdict.REFUSED
    assert limit.ask(KEYS[30], 70, WINDOW_SECONDS + 1, idle=True) is Verdict.GO


def test_after_sane_lists_the_next_deletion_is_allowed() -> None:
    limit = Limit()
    assert set(asked(limit, KEYS[:60])) == {Verdict.REFUSED}
    for key in KEYS[:60]:
        limit.settle(key)

    assert limit.ask(KEYS[0], 100, 1, idle=True) is Verdict.GO


def test_a_withdrawal_waits_for_what_is_due_but_not_for_ever() -> None:
    limit = Limit()
    assert limit.ask(KEYS[0], 100, 0, idle=False) is Verdict.WAIT
    assert limit.ask(KEYS[0], 100, SETTLING_SECONDS - 0.1, idle=False) is Verdict.WAIT
    assert limit.ask(KEYS[0], 100, SETTLING_SECONDS, idle=False) is Verdict.GO


def test_after_an_empty_list_no_deletion_is_allowed() -> None:
    limit = Limit()
    verdicts = [
        limit.ask(KEYS[0], 1, now, idle=True, empty=True) for now in (0.0, CONFIRMATION_SECONDS, 99.0)
    ]
    assert verdicts == [Verdict.WAIT, Verdict.REFUSED, Verdict.REFUSED]
    assert limit.ask(KEYS[0], 1, 100, idle=True) is Verdict.GO


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

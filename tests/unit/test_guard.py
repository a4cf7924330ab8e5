"""How much may be withdrawn at once."""

from __future__ import annotations

from towpath.controller.guard import AT_LEAST, SETTLING, WINDOW, Guard, Verdict
from towpath.model.keys import Dialect, ServiceKey

KEYS = [ServiceKey(Dialect.FLOMESH, "shop", f"s{number}") for number in range(100)]


def asked(guard: Guard, keys: list[ServiceKey], now: float = 0.0, existing: int = 100) -> list[Verdict]:
    """Let all of them come before the first is judged, as they do while others are due."""
    for key in keys:
        guard.ask(key, existing, now, idle=False)
    return [guard.ask(key, existing, now, idle=True) for key in keys]


def test_a_few_may_go() -> None:
    assert asked(Guard(), KEYS[:AT_LEAST]) == [Verdict.GO] * AT_LEAST


def test_where_there_are_few_all_may_go() -> None:
    assert asked(Guard(), KEYS[:3], existing=3) == [Verdict.GO] * 3


def test_of_many_none_may_go_not_even_the_first() -> None:
    assert set(asked(Guard(), KEYS[:60])) == {Verdict.REFUSED}


def test_a_share_may_go() -> None:
    assert set(asked(Guard(), KEYS[:30])) == {Verdict.GO}
    assert set(asked(Guard(share=0.2), KEYS[:30])) == {Verdict.REFUSED}


def test_who_goes_one_after_the_other_is_stopped_as_well() -> None:
    guard, left = Guard(), 100
    verdicts = []
    for number, key in enumerate(KEYS):
        verdict = guard.ask(key, left, number * 0.1, idle=True)
        verdicts.append(verdict)
        left -= verdict is Verdict.GO

    assert verdicts.count(Verdict.GO) == 30
    assert verdicts[30:] == [Verdict.REFUSED] * 70


def test_later_others_may_go() -> None:
    guard = Guard()
    assert set(asked(guard, KEYS[:30])) == {Verdict.GO}
    assert guard.ask(KEYS[30], 70, 1, idle=True) is Verdict.REFUSED
    assert guard.ask(KEYS[30], 70, WINDOW + 1, idle=True) is Verdict.GO


def test_when_lists_are_sane_again_nobody_wants_to_go_and_the_next_may() -> None:
    guard = Guard()
    assert set(asked(guard, KEYS[:60])) == {Verdict.REFUSED}
    for key in KEYS[:60]:
        guard.settle(key)

    assert guard.ask(KEYS[0], 100, 1, idle=True) is Verdict.GO


def test_a_withdrawal_waits_for_what_is_due_but_not_for_ever() -> None:
    guard = Guard()
    assert guard.ask(KEYS[0], 100, 0, idle=False) is Verdict.WAIT
    assert guard.ask(KEYS[0], 100, SETTLING - 0.1, idle=False) is Verdict.WAIT
    assert guard.ask(KEYS[0], 100, SETTLING, idle=False) is Verdict.GO

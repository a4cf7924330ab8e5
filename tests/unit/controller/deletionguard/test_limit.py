"""How much may be withdrawn at once."""

from __future__ import annotations

from towpath.controller.deletionguard.limit import (
    CONFIRMATION_SECONDS,
    MAX_NAMED,
    MIN_ALLOWED,
    OTHERS,
    SETTLING_SECONDS,
    WINDOW_SECONDS,
    Limit,
    Verdict,
)
from towpath.model.keys import Dialect, ServiceKey

KEYS = [ServiceKey(Dialect.FLOMESH, "shop", f"s{number}") for number in range(100)]
OTHER = [key._replace(namespace="bank") for key in KEYS]


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


def test_a_tenant_does_not_hold_up_another() -> None:
    limit = Limit()
    assert set(asked(limit, KEYS[:13], existing=20)) == {Verdict.REFUSED}
    assert limit.ask(OTHER[0], 20, 1.0, idle=True) is Verdict.GO
    assert limit.mostly == "shop"


def test_many_namespaces_at_once_are_too_many() -> None:
    """A partial list takes a few imports of each."""
    limit = Limit()
    keys = [key._replace(namespace=f"n{number % 10}") for number, key in enumerate(KEYS[:40])]
    assert set(asked(limit, keys)) == {Verdict.REFUSED}


def test_what_is_confirmed_goes_at_a_bounded_rate() -> None:
    limit = Limit()
    assert set(asked(limit, KEYS[:60])) == {Verdict.REFUSED}

    def confirmed(now: float) -> int:
        left = [key for key in KEYS[:60] if key not in gone]
        went = [key for key in left if limit.ask(key, 100, now, idle=True, confirmed=True) is Verdict.GO]
        gone.extend(went)
        return len(went)

    gone: list[ServiceKey] = []
    assert confirmed(1.0) == MIN_ALLOWED
    assert confirmed(2.0) == 0
    assert confirmed(2.0 + WINDOW_SECONDS) == MIN_ALLOWED


def test_each_namespace_has_a_rate_of_its_own() -> None:
    limit = Limit()
    both = [*KEYS[:30], *OTHER[:30]]
    asked(limit, both)
    went = [key for key in both if limit.ask(key, 100, 1.0, idle=True, confirmed=True) is Verdict.GO]
    assert {key.namespace for key in went} == {"shop", "bank"}
    assert len(went) == 2 * MIN_ALLOWED


def test_the_namespaces_that_fill_the_limit_are_counted() -> None:
    """Of few namespaces by name, because a label with a value for each tenant costs a Prometheus dearly."""
    limit = Limit()
    for number in range(3 * MAX_NAMED):
        for key in KEYS[: 2 if number == 7 else 1]:
            limit.ask(key._replace(namespace=f"n-{number:02}"), 1000, 0.0, idle=number == 0)
    counted = limit.counted(0.0)

    assert counted == {
        "n-07": 2,
        "n-00": 1,
        "n-01": 1,
        "n-02": 1,
        "n-03": 1,
        OTHERS: 3 * MAX_NAMED - MAX_NAMED,
    }
    assert "n-00" not in limit.counted(WINDOW_SECONDS + 1.0)
    assert Limit().counted(0.0) == {}

"""Which withdrawals go, and when everything is listed again because a list may be wrong."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from tests.support.worlds import KEY, UID, WEB, derived, fleet, offered
from towpath.controller.deletionguard.decide import (
    CONFIRMING_LISTS,
    MAX_RELIST_SECONDS,
    DeletionGuard,
    Judgement,
    Relisting,
)
from towpath.controller.deletionguard.limit import (
    CONFIRMATION_SECONDS,
    MIN_ALLOWED,
    SETTLING_SECONDS,
    Verdict,
)
from towpath.derivation.render import Rendered, render
from towpath.derivation.stages import Current
from towpath.inventory.snapshot import ImportState, Snapshot
from towpath.karmada.decode import Binding
from towpath.model.cluster import Fleet
from towpath.rules.conditions import too_large

ALL = fleet("a", "b")
WANTED = render(KEY, UID, derived({"a": WEB}, ALL))
NOTHING = Rendered()
THERE = Snapshot(
    KEY,
    0.0,
    Fleet(ALL),
    ImportState(Binding(KEY.dialect.api_version, "ServiceImport", "", frozenset())),
    Current(WANTED.service_import),
    existing=1,
)
MANY = 3 * MIN_ALLOWED
KEYS = [KEY._replace(name=f"s{number}") for number in range(MANY)]


def asked_for_many() -> DeletionGuard:
    """Return a guard that has heard of many withdrawals and let none go, while other things were due."""
    guard = DeletionGuard()
    for key in KEYS:
        guard.judge(replace(THERE, key=key, existing=MANY, idle=False), NOTHING)
    return guard


def judged(guard: DeletionGuard, now: float = 0.0, lists: int = 0) -> Judgement:
    """Let a guard judge the first of many, with nothing else due."""
    return guard.judge(replace(THERE, key=KEYS[0], existing=MANY, now=now, lists=lists), NOTHING)


@pytest.mark.parametrize(
    ("snapshot", "wanted"),
    [
        (THERE, WANTED),
        (THERE, Rendered(refused=too_large("The import has 700 KiB."))),
        (replace(THERE, current=Current()), NOTHING),
        (
            replace(
                THERE, current=Current({**(WANTED.service_import or {}), "metadata": {"name": KEY.name}})
            ),
            NOTHING,
        ),
    ],
    ids=["the import stays", "nothing may be written", "no import", "an import of the user"],
)
def test_what_is_no_withdrawal_does_not_count(snapshot: Snapshot, wanted: Rendered) -> None:
    guard = DeletionGuard()

    assert guard.judge(replace(snapshot, idle=False), wanted) == Judgement(Verdict.GO)
    assert not guard.counted(0.0)


def test_a_withdrawal_waits_until_all_else_is_reconciled() -> None:
    guard = DeletionGuard()

    assert guard.judge(replace(THERE, idle=False), NOTHING).verdict is Verdict.WAIT
    assert guard.judge(replace(THERE, now=SETTLING_SECONDS, idle=False), NOTHING).verdict is Verdict.GO
    assert guard.counted(SETTLING_SECONDS) == {KEY.namespace: 1}


def test_too_many_are_refused_and_all_is_listed_again() -> None:
    guard = asked_for_many()

    verdict, decision = judged(guard)

    assert (verdict, decision.relist) == (Verdict.REFUSED, True)
    assert guard.withheld == {KEYS[0]: KEY.namespace}


def test_a_list_that_began_before_confirms_nothing() -> None:
    guard = asked_for_many()

    assert judged(guard).verdict is Verdict.REFUSED
    assert judged(guard, 1.0, CONFIRMING_LISTS - 1).verdict is Verdict.REFUSED
    assert judged(guard, 2.0, CONFIRMING_LISTS).verdict is Verdict.GO


def test_after_an_empty_list_an_import_neither_goes_nor_changes() -> None:
    empty = replace(THERE, missing_inputs=("clusters",))
    other = render(KEY, UID, derived({"a": WEB, "b": WEB}, ALL))
    for wanted in (NOTHING, other):
        guard = DeletionGuard()
        assert guard.judge(empty, wanted).decision.relist
        later = replace(empty, now=CONFIRMATION_SECONDS, lists=CONFIRMING_LISTS)
        assert guard.judge(later, wanted).verdict is Verdict.REFUSED
        assert guard.withheld == {KEY: ""}


@pytest.mark.parametrize("missing", [(), ("services",)], ids=["all is listed", "a list was empty"])
def test_a_user_lets_an_import_go_at_once(missing: tuple[str, ...]) -> None:
    allowed = offered({"a": WEB}, annotations={"towpath.io/allow-withdrawal": "true"})
    snapshot = replace(THERE, service=allowed, idle=False, missing_inputs=missing)

    verdict = DeletionGuard().judge(snapshot, NOTHING).verdict

    assert verdict is (Verdict.WAIT if missing else Verdict.GO)


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

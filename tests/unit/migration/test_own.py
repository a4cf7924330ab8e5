"""What becomes of exports and traffic policies that only members have, as a table of worlds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support.worlds import KEY
from tests.unit.migration.test_plan import KEYS, OTHER, A, holding, known
from towpath.migration.held import MemberState
from towpath.migration.own import EXPORT, POLICY, Own, own
from towpath.migration.plan import plan
from towpath.migration.steps import EXPORT as EXPORT_STEP
from towpath.migration.steps import Progress, Surroundings, steps
from towpath.migration.world import KnownService, World
from towpath.model.keys import ServiceKey
from towpath.model.traffic import Spread, TrafficPolicy
from towpath.model.world import AppliedPolicy
from towpath.rules.reasons import OwnReason

EXPORTING = MemberState("a", exports=frozenset({KEY}), own_exports={KEY: "1"})
DIRECTING = MemberState("a", own_policies={KEY: TrafficPolicy()})
SAME = known(A, digest="1")


def with_service(service: KnownService | None, *, key: ServiceKey = KEY) -> World:
    return World(KEYS, {key: service} if service else {}, [EXPORTING])


def with_policy(*clusters: str, key: ServiceKey = KEY, **spec: Any) -> World:
    applied = AppliedPolicy(key, "u", TrafficPolicy(**spec), frozenset(clusters))
    return World(KEYS, {}, [DIRECTING], {key: applied})


FOUND: dict[OwnReason, tuple[World, str]] = {
    OwnReason.EXPORT_ONLY: (with_service(None), "imported by no member"),
    OwnReason.EXPORT_GROUP: (with_service(SAME, key=OTHER), "multicluster.flomesh.io"),
    OwnReason.EXPORT_EXCLUDED: (with_service(replace(SAME, excluded={"a": "No gateway."})), "No gateway."),
    OwnReason.EXPORT_ELSEWHERE: (with_service(replace(SAME, exporters=frozenset("b"))), ""),
    OwnReason.EXPORT_DIFFERS: (with_service(replace(SAME, digest="2")), ""),
    OwnReason.POLICY_ONLY: (World(KEYS, {}, [DIRECTING]), ""),
    OwnReason.POLICY_GROUP: (with_policy("a", key=OTHER), "multicluster.flomesh.io"),
    OwnReason.POLICY_ELSEWHERE: (with_policy("b"), ""),
    OwnReason.POLICY_DIFFERS: (with_policy("a", lb_type=Spread.FAIL_OVER), ""),
}


@pytest.mark.parametrize("reason", OwnReason)
def test_what_only_a_member_has_is_named_with_its_fate(reason: OwnReason) -> None:
    world, detail = FOUND[reason]
    kind = POLICY if reason.value.startswith("Policy") else EXPORT
    [made] = plan(world)[0].own

    assert made == Own(kind, KEY, reason, detail)
    assert made.text.endswith(reason.text)
    assert steps(world, plan(world), Surroundings())[2][1:3] == (EXPORT_STEP, Progress.OPEN)


@pytest.mark.parametrize(
    "world",
    [
        with_service(SAME),
        with_service(replace(SAME, excluded={"a": "Drained."}, drained=frozenset("a"))),
        with_policy("a"),
        World(KEYS, {}, [MemberState("a", exports=frozenset({KEY}))]),
    ],
    ids=["export", "drained", "policy", "managed"],
)
def test_what_karmada_has_likewise_is_not_named(world: World) -> None:
    [planned] = plan(world)

    assert planned.own == ()
    assert steps(world, [planned], Surroundings())[2].progress is Progress.DONE


def test_an_export_says_which_members_import_it() -> None:
    importing = [MemberState(name, imports={KEY: holding(A)}) for name in "cd"]
    world = World(KEYS, {}, [EXPORTING, *importing])

    assert own(world, EXPORTING)[0].text.startswith("imported by c, d: Karmada has no ServiceExport")


def test_a_policy_that_cannot_be_read_differs() -> None:
    unreadable = MemberState("a", own_policies={KEY: None})

    assert own(with_policy("a"), unreadable)[0].reason is OwnReason.POLICY_DIFFERS

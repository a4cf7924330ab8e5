"""The conditions in the status of an export."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given

from tests.support.strategies import FEW, worlds
from tests.support.worlds import KEY, UID, WEB, condition, derived, export, fleet, member, offered, service
from towpath.derivation.derive import derive
from towpath.derivation.render import LARGEST_VIEW, render
from towpath.model.cluster import Member
from towpath.model.condition import CONFLICT, READY, VALID, Condition
from towpath.model.world import Offer, World
from towpath.rules import conditions
from towpath.rules.conflict import Disagreement
from towpath.rules.reasons import (
    Advice,
    Caution,
    ConditionReason,
    Conflicting,
    Exclusion,
    ExclusionReason,
    InvalidReason,
)

LONGEST = 32768
REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
"""Both are what the schema of a condition allows."""
GOING = replace(WEB, going=True)
UNBOUND = replace(WEB, service=None)
NONE = "No cluster exports the service."
TOO_LARGE = Offer(export((80, "/" + "x" * LARGEST_VIEW)), service(80))


def stated(offers: Mapping[str, Offer], members: Mapping[str, Member]) -> list[Condition]:
    """Return all conditions of a service."""
    result = derived(offers, members)
    refused = render(KEY, UID, result).refused
    return [*result.conditions, *([refused] if refused else [])]


def valid(
    exporters: Sequence[str],
    excluded: Mapping[str, Exclusion],
    everywhere: Exclusion | None = None,
) -> Condition:
    return conditions.valid(offered({}), exporters, excluded, everywhere)


STATED: list[tuple[ConditionReason, str, str, Mapping[str, Offer]]] = [
    (ConditionReason.VALID, VALID, "True", {"a": WEB, "b": UNBOUND}),
    (ConditionReason.NOT_PROPAGATED, VALID, "False", {"a": UNBOUND, "b": UNBOUND}),
    (ConditionReason.NOT_PROPAGATED, VALID, "False", {}),
    (ConditionReason.NO_CONFLICTS, CONFLICT, "False", {"a": WEB, "b": WEB}),
    (ConditionReason.VIEW_TOO_LARGE, READY, "False", {"a": TOO_LARGE, "b": TOO_LARGE}),
]


@pytest.mark.parametrize(("reason", "kind", "status", "offers"), STATED)
def test_every_reason_has_its_condition(
    reason: ConditionReason, kind: str, status: str, offers: Mapping[str, Offer]
) -> None:
    found = stated(offers, fleet("a", "b", "c"))

    assert [(c.type, c.status) for c in found if c.reason == reason] == [(kind, status)]


LEFT_OUT = "Left out: a (ServiceNotBound); b (NotAMember)."
NOWHERE: list[tuple[dict[str, object], bool, ConditionReason]] = [
    ({"has_service": False}, False, ConditionReason.NO_SERVICE),
    ({"has_service": False, "service_selected": False}, True, ConditionReason.NO_SERVICE),
    ({"service_selected": False}, True, ConditionReason.SERVICE_NOT_PROPAGATED),
    ({"serving": frozenset("c")}, True, ConditionReason.SERVICE_NOT_PROPAGATED),
    ({"selected": False, "service_selected": False}, False, ConditionReason.SERVICE_NOT_PROPAGATED),
    ({"selected": False}, False, ConditionReason.NOT_PROPAGATED),
    ({"selected": True, "service_selected": False}, False, ConditionReason.NOT_PROPAGATED),
    ({}, True, ConditionReason.NOT_PROPAGATED),
    ({}, False, ConditionReason.NOT_PROPAGATED),
]
"""The service, whether the export is bound to a cluster without it, and the cause."""
OF_STATUS = {
    *("EXPORTED", "NOT_IMPORTED", "PENDING", "CLUSTER_LOST", "NOT_REPORTED", "WITHHELD", "CATCHING_UP"),
    *(
        "BEING_DELETED",
        "SERVING",
        "LEFT_IN_MEMBER",
        "NOT_APPLIED",
        "IMPORT_NAME_TAKEN",
        "CLAIMED_ELSEWHERE",
        "NAME_IN_USE",
        "OVERRIDDEN",
    ),
}
"""What follows from the reports of members and from the controller's guard, not from the derivation."""


def test_the_table_has_every_derived_reason() -> None:
    stated = {reason for reason, *_ in STATED} | {reason for _, _, reason in NOWHERE}
    assert stated == {known for known in ConditionReason if known.name not in OF_STATUS}


@pytest.mark.parametrize(
    ("exporters", "excluded", "want"),
    [
        (["a"], {}, ("True", "Valid", "Exported by a.")),
        (
            ["b", "a"],
            {
                "d": Exclusion(ExclusionReason.REFUSED_IN_MEMBER, "no"),
                "c": Exclusion(ExclusionReason.DRAINED),
            },
            ("True", "Valid", "Exported by a, b. Left out: c (Drained); d (RefusedInMember: no)."),
        ),
        ([], {}, ("False", "NotPropagated", ConditionReason.NOT_PROPAGATED.text)),
        (
            [],
            {"a": Exclusion(ExclusionReason.SERVICE_NOT_BOUND), "b": Exclusion(ExclusionReason.NOT_A_MEMBER)},
            (
                "False",
                "NotPropagated",
                f"{NONE} {ConditionReason.NOT_PROPAGATED.text} {LEFT_OUT}",
            ),
        ),
    ],
)
def test_valid_lists_exporters_and_excluded_clusters(
    exporters: Sequence[str], excluded: Mapping[str, Exclusion], want: tuple[str, str, str]
) -> None:
    assert valid(exporters, excluded) == Condition(VALID, *want)


@pytest.mark.parametrize(("service", "unbound", "reason"), NOWHERE)
def test_where_no_cluster_has_both_the_cause_is_named(
    service: dict[str, object], unbound: bool, reason: ConditionReason
) -> None:
    excluded = {"a": Exclusion(ExclusionReason.SERVICE_NOT_BOUND)} if unbound else {}
    condition = conditions.valid(offered({}, **service), [], excluded)

    assert (condition.status, condition.reason) == ("False", reason)
    assert reason.text in condition.message
    assert conditions.is_transient(condition)


@pytest.mark.parametrize("nearer", list(ExclusionReason)[1:])
def test_without_exporters_the_nearest_clusters_reason_is_given(
    nearer: ExclusionReason,
) -> None:
    before = list(ExclusionReason)[list(ExclusionReason).index(nearer) - 1]
    want = ConditionReason.NOT_PROPAGATED if nearer is ExclusionReason.SERVICE_NOT_BOUND else nearer

    for first, second in ((nearer, before), (before, nearer)):
        condition = valid([], {"a": Exclusion(first), "b": Exclusion(second)})
        assert (condition.status, condition.reason) == ("False", want)


def test_a_reason_for_all_clusters_is_the_only_one_reported() -> None:
    condition = valid(
        [], {"a": Exclusion(ExclusionReason.DRAINED)}, Exclusion(ExclusionReason.NAME_TAKEN, "it")
    )

    assert (condition.status, condition.reason) == ("False", ExclusionReason.NAME_TAKEN)
    assert condition.message.endswith(f": {ExclusionReason.NAME_TAKEN.text}")


@pytest.mark.parametrize(
    ("number", "end"),
    [(1, "m00."), (20, "m18, m19."), (21, "m19, m20."), (22, "m19 and 2 more."), (99, "m19 and 79 more.")],
)
def test_of_many_exporters_the_first_twenty_are_named(number: int, end: str) -> None:
    assert valid([f"m{n:02}" for n in range(number)], {}).message.endswith(end)


def test_no_message_is_longer_than_a_condition_may_have() -> None:
    excluded = {f"m{n:04}": Exclusion(ExclusionReason.REFUSED_IN_MEMBER, "x" * 100) for n in range(1000)}
    many = [Disagreement(Conflicting.PATH, "x" * 100)] * 1000

    for found in (
        valid([], excluded),
        valid(["a"], excluded),
        conditions.conflict(many),
    ):
        assert len(found.message) == LONGEST
    assert conditions.conflict(many).reason == Conflicting.PATH


def test_nothing_to_disagree_on_is_no_conflict() -> None:
    assert conditions.conflict([]) == Condition(
        CONFLICT, "False", "NoConflicts", "The exporting clusters agree."
    )


def test_reasons_are_joined_and_each_is_named_once() -> None:
    condition = conditions.conflict(
        [
            Disagreement(Conflicting.TYPE, "One."),
            Disagreement(Conflicting.PATH, "Two."),
            Disagreement(Conflicting.PATH, "Three."),
        ]
    )

    assert condition == Condition(CONFLICT, "True", "TypeConflict,PathConflict", "One. Two. Three.")


def test_a_blocked_change_is_reported_on_a_valid_export() -> None:
    troubled, faults = offered({}, frozen=True), ("OverridePolicy shop/o: it fails.",)

    for exporters, status in ((["a"], "True"), ([], "False")):
        condition = conditions.valid(troubled, exporters, {}, faults=faults)
        assert condition.status == status
        assert condition.message.endswith(f" {Advice.FROZEN.text} OverridePolicy shop/o: it fails.")


def test_a_name_bound_by_another_api_group_has_no_exporter() -> None:
    result = derived({"a": WEB}, fleet("a", "b"), taken_by="multicluster.x-k8s.io/v1alpha1")

    assert not result.views
    found = condition(result, VALID)
    assert (found.status, found.reason) == ("False", "NameTaken")
    assert found.message.startswith("ServiceExport of multicluster.x-k8s.io/v1alpha1: ")


UNKNOWN = Caution(Advice.UNKNOWN_KEY, "spec.targets[0].clusterKey", "a/b/c/d")
ZERO = Caution(Advice.WEIGHT_ZERO, "spec.targets[0].weight", "a/b/c/d")
NO_TARGET = Caution(InvalidReason.FAIL_OVER_TARGETS, "spec.targets")
MINUS = Caution(InvalidReason.NEGATIVE_WEIGHT, "spec.targets[0].weight", "-1")


@pytest.mark.parametrize(
    ("cautions", "accepted", "resolved"),
    [
        ([], ("True", "Accepted"), ("True", "Resolved")),
        ([ZERO], ("True", "Accepted"), ("True", "Resolved")),
        ([UNKNOWN, ZERO], ("True", "Accepted"), ("False", "UnknownClusterKey")),
        ([NO_TARGET, MINUS], ("False", "FailOverTargets,NegativeWeight"), ("True", "Resolved")),
        ([Caution(Advice.NOT_EXPORTED, "metadata.name")], ("True", "Accepted"), ("False", "NotExported")),
    ],
)
def test_a_policy_is_accepted_and_resolved(
    cautions: list[Caution], accepted: tuple[str, str], resolved: tuple[str, str]
) -> None:
    for found, want in (
        (conditions.accepted(cautions), accepted),
        (conditions.resolved(cautions), resolved),
    ):
        assert (found.status, found.reason) == want
        assert REASON.fullmatch(found.reason)
        assert found.message.endswith(".")
    assert ("The weight 0 counts as 100" in conditions.accepted(cautions).message) == (ZERO in cautions)


@pytest.mark.parametrize(
    ("member", "status", "reason"),
    [
        (None, "False", "NoMember"),
        (member("a"), "True", "Managed"),
        (member("a", unreachable_since=5.0), "False", "MemberLost"),
    ],
)
def test_a_cluster_is_managed_when_karmada_reaches_its_member(
    member: Member | None, status: str, reason: str
) -> None:
    assert conditions.managed(member)[1:3] == (status, reason)


def test_a_service_that_only_some_clusters_have_is_valid() -> None:
    result = derived({"a": WEB, "b": UNBOUND, "c": WEB}, fleet("a", "b") | {"c": member("c", drained=True)})

    assert condition(result, VALID) == Condition(
        VALID, "True", "Valid", "Exported by a. Left out: b (ServiceNotBound); c (Drained)."
    )


@given(worlds)
@FEW
def test_every_condition_is_one_that_kubernetes_takes(world: World) -> None:
    for result in derive(world).services.values():
        assert [c.type for c in result.conditions] == [VALID, CONFLICT]
        for c in result.conditions:
            assert c.status in {"True", "False"}
            assert REASON.fullmatch(c.reason)
            assert 0 < len(c.message) <= LONGEST
        assert (condition(result, VALID).status == "True") == bool(result.exporters)
        assert (condition(result, CONFLICT).status == "False") == (
            condition(result, CONFLICT).reason == ConditionReason.NO_CONFLICTS
        )

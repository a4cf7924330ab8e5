"""What an export's status should say, and when it has to be written."""

from __future__ import annotations

from typing import Any

import pytest

from towpath.derivation.status import says, wanted_status
from towpath.model.arrival import Arrival
from towpath.model.condition import Condition
from towpath.rules.conditions import ready

VALID = Condition("Valid", "True", "Valid", "Exported by a.")
AT = 1_700_000_000.0
STAMP, LATER = "2023-11-14T22:13:20Z", "2023-11-14T22:14:20Z"

EXISTS = 'serviceimports.flomesh.io "web" already exists'


def written(*conditions: Condition, before: Any = None, now: float = AT) -> dict[str, Any]:
    return wanted_status(conditions, ["b"], 3, before or {}, now)


@pytest.mark.parametrize(
    ("importers", "behind", "lost", "reported", "status", "reason"),
    [
        ([], [], [], True, "False", "NotImported"),
        (["a"], ["a"], [], False, "Unknown", "NotReported"),
        (["a", "b"], [], [], True, "True", "Exported"),
        (["a", "b"], [], ["a"], True, "True", "Exported"),
        (["a", "b"], ["b"], [], True, "False", "Pending"),
        (["a", "b"], ["b"], ["b"], True, "False", "ClusterLost"),
        (["a", "b"], ["a", "b"], ["b"], True, "False", "Pending"),
    ],
)
def test_ready_is_what_members_say(
    importers: list[str], behind: list[str], lost: list[str], reported: bool, status: str, reason: str
) -> None:
    condition = ready(importers, Arrival(behind, lost, reported=reported))

    assert (condition.type, condition.status, condition.reason) == ("Ready", status, reason)
    assert condition.message.endswith(".")


def test_a_message_names_a_few_of_the_clusters_it_waits_for() -> None:
    behind = [f"m{number:03}" for number in range(200)]

    condition = ready(["a", "b"], Arrival(["b"]))
    assert condition.message == "1 of 2 importing clusters have the import. Waiting for b."
    assert ready(behind, Arrival(behind)).message.endswith("m009 and 190 more.")


@pytest.mark.parametrize(
    ("arrival", "reason", "message"),
    [
        (
            Arrival(["b"], taken_by="multicluster.x-k8s.io/v1alpha1"),
            "ImportNameTaken",
            "ServiceImport of multicluster.x-k8s.io/v1alpha1: ",
        ),
        (
            Arrival(["b"], claimed_by="PropagationPolicy shop/all"),
            "ClaimedElsewhere",
            "PropagationPolicy shop/all: ",
        ),
        (
            Arrival(overridden={"b": "OverridePolicy shop/all"}),
            "ImportOverridden",
            "OverridePolicy shop/all in b: ",
        ),
        (
            Arrival(["b"], failed={"b": 'serviceimports "web" already exists in the cluster'}),
            "LeftInMember",
            "1 of 2 importing clusters have the import. Blocked in b. A ServiceImport",
        ),
        (
            Arrival(["b"], failed={"b": EXISTS}, catching_up={"b": AT}),
            "CatchingUp",
            "1 of 2 importing clusters have the import. Waiting for b. b: The cluster is Ready again",
        ),
        (
            Arrival(["a", "b"], failed={"a": "denied", "b": EXISTS}, catching_up={"b": AT}),
            "NotApplied",
            "0 of 2 importing clusters have the import. Karmada cannot apply the import",
        ),
        (
            Arrival(["a", "b"], lost=["a", "b"], failed={"a": "dial tcp: refused", "b": "dial tcp: refused"}),
            "NotApplied",
            "0 of 2 importing clusters have the import. Karmada cannot apply the import",
        ),
        (
            Arrival(["b"], failed={"a": "of before"}),
            "Pending",
            "1 of 2 importing clusters have the import. Waiting for b.",
        ),
    ],
)
def test_the_cause_of_a_missing_import_is_reported(arrival: Arrival, reason: str, message: str) -> None:
    condition = ready(["a", "b"], arrival)

    assert (condition.status, condition.reason) == ("False", reason)
    assert condition.message.startswith(message)


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    first = written(VALID)
    same = written(VALID._replace(message="Exported by a, b."), before=first, now=AT + 60)
    other = written(VALID._replace(status="False"), before=same, now=AT + 60)

    assert [c["lastTransitionTime"] for s in (first, same, other) for c in s["conditions"]] == [
        STAMP,
        STAMP,
        LATER,
    ]


def test_nothing_is_written_when_nothing_changed() -> None:
    first = written(VALID)
    foreign = {"type": "Theirs", "status": "True"}
    with_foreign = {**first, "conditions": [foreign, *first["conditions"]]}

    assert says(first, written(VALID, before=first, now=AT + 60))
    assert says(with_foreign, written(VALID, before=with_foreign, now=AT + 60))
    assert not says({}, first)
    assert not says(first, written(VALID._replace(reason="Other"), before=first))
    assert not says({**first, "offeredTo": []}, first)

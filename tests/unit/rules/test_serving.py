"""Exporting clusters that do not answer calls."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.support.worlds import member
from towpath.model.arrival import Arrival, Unserved
from towpath.model.condition import READY, Condition
from towpath.rules import conditions
from towpath.rules.reasons import CallReason
from towpath.rules.serving import unserved

SINCE, LATER = "2027-01-15T08:00:00Z", "2027-01-15T09:00:00Z"
FLEET = {
    **{name: member(name, data_path=True) for name in ("a", "b", "c")},
    "fsm": member("fsm"),
    "lost": member("lost", data_path=True, unreachable_since=5.0),
}
KEYS = {name: found.key for name, found in FLEET.items()}
NO_POD, NO_ANSWER = CallReason.NO_READY_POD, CallReason.NO_ANSWER


@pytest.mark.parametrize(
    ("unready", "silent", "found"),
    [
        ({}, {}, ()),
        ({"a": SINCE}, {}, (Unserved("a", NO_POD, since=SINCE),)),
        # It imports, so its own pods are no matter of the others.
        ({"c": SINCE}, {}, ()),
        # Without the data path nothing renews what is stated, and what a lost member states is old.
        ({"fsm": SINCE, "lost": SINCE, "gone": SINCE}, {}, ()),
        ({}, {"fsm": {KEYS["a"]: SINCE}, "lost": {KEYS["a"]: SINCE}, "gone": {KEYS["a"]: SINCE}}, ()),
        ({}, {"c": {KEYS["a"]: SINCE}}, (Unserved("a", NO_ANSWER, ("c",), SINCE),)),
        ({}, {"c": {"x/y/z/other": SINCE}}, ()),
        (
            {"b": LATER},
            {"c": {KEYS["a"]: LATER}, "b": {KEYS["a"]: SINCE, KEYS["fsm"]: LATER}},
            (
                Unserved("b", NO_POD, since=LATER),
                Unserved("a", NO_ANSWER, ("b", "c"), SINCE),
                Unserved("fsm", NO_ANSWER, ("b",), LATER),
            ),
        ),
    ],
)
def test_what_members_report_of_exporters(
    unready: Mapping[str, str], silent: Mapping[str, Mapping[str, str]], found: tuple[Unserved, ...]
) -> None:
    exporters, importers = ("a", "b", "fsm", "lost"), ("b", "c", "fsm", "lost")
    assert unserved(FLEET, exporters, importers, unready, silent) == found


def test_ready_names_clusters_cause_and_fix() -> None:
    found = (
        Unserved("a", NO_POD),
        Unserved("b", NO_POD),
        Unserved("c", NO_ANSWER, ("a", "b")),
    )
    text = f"a, b: {NO_POD.text} c (from a, b): {NO_ANSWER.text}"
    assert conditions.ready(["a"], Arrival(unserved=found)) == Condition(
        READY, "False", "NoReadyPod,NoAnswer", text
    )
    assert conditions.ready(["a"], Arrival(unserved=found, behind=["a"])).reason == "Pending"

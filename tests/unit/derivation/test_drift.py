"""When an object must be written, and when it is as it should be."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from towpath.derivation.drift import matches
from towpath.model.ownership import FIELD_MANAGER

WANTED: dict[str, Any] = {
    "metadata": {"name": "web", "labels": {"ours": "yes"}, "ownerReferences": [{"name": "web", "uid": "1"}]},
    "spec": {"account": "*", "ports": [{"port": 80}]},
}
LIVE: dict[str, Any] = {
    "metadata": {
        "name": "web",
        "uid": "2",
        "labels": {"ours": "yes", "karmada": "claims"},
        "ownerReferences": [{"name": "web", "uid": "1"}],
        "managedFields": [
            {
                "manager": FIELD_MANAGER,
                "fieldsV1": {
                    "f:metadata": {"f:labels": {"f:ours": {}}, "f:ownerReferences": {'k:{"uid":"1"}': {}}},
                    "f:spec": {"f:account": {}, "f:ports": {}},
                },
            },
            {"manager": "karmada", "fieldsV1": {"f:metadata": {"f:labels": {"f:karmada": {}}}}},
        ],
    },
    "spec": {"account": "*", "ports": [{"port": 80, "protocol": "TCP"}], "priority": 0},
}


def test_fields_of_others_and_defaults_are_no_difference() -> None:
    assert matches(LIVE, WANTED)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("metadata", "labels", "ours"), "no"),
        (("spec", "account"), ""),
        (("spec", "ports"), []),
        (("spec", "ports"), [{"port": 80}, {"port": 81}]),
        (("spec", "ports"), [{"port": 81}]),
        (("metadata", "ownerReferences"), [{"name": "web", "uid": "3"}]),
    ],
)
def test_a_field_of_towpath_that_was_changed_is_written_again(path: tuple[str, ...], value: object) -> None:
    live = copy.deepcopy(LIVE)
    parent = live
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value

    assert not matches(live, WANTED)


def test_a_field_of_towpath_that_was_removed_is_written_again() -> None:
    live = copy.deepcopy(LIVE)
    del live["spec"]["account"]

    assert not matches(live, WANTED)


def test_a_field_that_is_no_longer_wanted_is_given_up() -> None:
    wanted = copy.deepcopy(WANTED)
    del wanted["spec"]["account"]

    assert not matches(LIVE, wanted)


def test_a_status_that_we_wrote_is_no_field_of_the_object() -> None:
    live = copy.deepcopy(LIVE)
    live["metadata"]["managedFields"].append(
        {"manager": FIELD_MANAGER, "subresource": "status", "fieldsV1": {"f:status": {"f:clusters": {}}}}
    )

    assert matches(live, WANTED)

"""What ``uninstall`` removes from a status: our conditions and fields, whoever owns them, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from towpath.setup.statuses import cleared

TYPES = ("Valid", "Conflict", "Ready")
OURS = [{"type": kind, "status": "True", "reason": "R"} for kind in TYPES]
THEIRS = {"type": "Synced", "status": "True"}


@pytest.mark.parametrize(
    ("status", "patch"),
    [
        ({}, None),
        ({"conditions": [THEIRS]}, None),
        ({"conditions": OURS}, {"conditions": None}),
        ({"conditions": [OURS[0], THEIRS, OURS[1]]}, {"conditions": [THEIRS]}),
        ({"conditions": OURS, "offeredTo": ["a"]}, {"conditions": None, "offeredTo": None}),
        ({"offeredTo": []}, {"offeredTo": None}),
        ({"conditions": [THEIRS], "other": 1}, None),
    ],
)
def test_only_objects_of_towpath_are_removed(status: dict[str, Any], patch: dict[str, Any] | None) -> None:
    assert cleared(status, TYPES) == patch

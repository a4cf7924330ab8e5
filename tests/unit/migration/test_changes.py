"""How a migration changes annotations: each change twice is the change once, and others stay."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from towpath.karmada.annotations import Change
from towpath.migration.changes import (
    preserved,
    preserving,
    reclaiming,
    releasing,
    taken_over,
    taking_over,
)
from towpath.model.export import CONFLICT_RESOLUTION, PRESERVE_IMPORTS, RELEASED

A, AB = frozenset("a"), frozenset("ab")
OTHER = {"other": "x"}
CASES: list[tuple[Change, Mapping[str, str], Mapping[str, str]]] = [
    (taking_over(A), {}, {CONFLICT_RESOLUTION: "Overwrite=a"}),
    (taking_over(A), {CONFLICT_RESOLUTION: "Overwrite=b"}, {CONFLICT_RESOLUTION: "Overwrite=a,b"}),
    (taking_over(A), {CONFLICT_RESOLUTION: "Abort"}, {CONFLICT_RESOLUTION: "Overwrite=a"}),
    (taking_over(A), {CONFLICT_RESOLUTION: "Overwrite"}, {CONFLICT_RESOLUTION: "Overwrite"}),
    (taken_over(A), {CONFLICT_RESOLUTION: "Overwrite=a,b"}, {CONFLICT_RESOLUTION: "Overwrite=b"}),
    (taken_over(AB), {CONFLICT_RESOLUTION: "Overwrite=a"}, {}),
    (taken_over(A), {CONFLICT_RESOLUTION: "Overwrite"}, {CONFLICT_RESOLUTION: "Overwrite"}),
    (preserving(A), {}, {PRESERVE_IMPORTS: "true", CONFLICT_RESOLUTION: "Overwrite=a"}),
    (
        preserving(A),
        {PRESERVE_IMPORTS: "false", CONFLICT_RESOLUTION: "Overwrite"},
        {PRESERVE_IMPORTS: "true", CONFLICT_RESOLUTION: "Overwrite"},
    ),
    (preserved(A), {PRESERVE_IMPORTS: "true", CONFLICT_RESOLUTION: "Overwrite=a"}, {}),
    (preserved(A), {CONFLICT_RESOLUTION: "Overwrite=a,b"}, {CONFLICT_RESOLUTION: "Overwrite=b"}),
    (releasing(A), {}, {RELEASED: "a"}),
    (releasing(A), {RELEASED: "b"}, {RELEASED: "a,b"}),
    (reclaiming(A), {RELEASED: "a,b"}, {RELEASED: "b"}),
    (reclaiming(AB), {RELEASED: "a"}, {}),
]


def changed(before: Mapping[str, str], change: Change) -> dict[str, str]:
    """Return the annotations after the merge patch."""
    merged = {**before, **change(before)}
    return {name: value for name, value in merged.items() if value is not None}


@pytest.mark.parametrize(("change", "before", "after"), CASES)
def test_what_each_change_leads_to(
    change: Change, before: Mapping[str, str], after: Mapping[str, str]
) -> None:
    result = changed({**before, **OTHER}, change)

    assert result == {**after, **OTHER}
    assert change(result) == {}

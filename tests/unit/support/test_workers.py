"""How many workers run the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.workers import ENOUGH_INSTANCES, ENOUGH_MIB, raised, workers


@pytest.mark.parametrize(
    ("instances", "available", "number"),
    [
        (ENOUGH_INSTANCES, ENOUGH_MIB, 3),
        (ENOUGH_INSTANCES - 1, ENOUGH_MIB, 2),
        (ENOUGH_INSTANCES, ENOUGH_MIB - 1, 2),
    ],
)
def test_three_need_instances_and_memory(instances: int, available: int, number: int) -> None:
    assert workers(instances, available) == number


@pytest.mark.parametrize(("before", "after"), [(128, ENOUGH_INSTANCES), (1024, 1024)])
def test_instances_are_raised_and_never_lowered(tmp_path: Path, before: int, after: int) -> None:
    file = tmp_path / "max_user_instances"
    file.write_text(f"{before}\n")
    assert raised(file) == after == int(file.read_text())

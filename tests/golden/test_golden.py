"""Worked cases: what each cluster imports. ``make golden CASES=DIR`` runs the cases of another folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden.case import shown, wanted, world_of
from towpath.derivation.derive import derive
from towpath.model.keys import Dialect

CASES = Path(__file__).parent / "cases"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    folder = Path(metafunc.config.getoption("cases") or CASES)
    cases = sorted(file.parent for file in folder.glob("*/input.yaml"))
    if not cases:
        raise pytest.UsageError(f"{folder} holds no case: each is a folder with an input.yaml")
    metafunc.parametrize("case", cases, ids=lambda case: case.name)


def test_every_cluster_imports_what_it_should(case: Path) -> None:
    expected = wanted(case)
    assert expected, "the case says of no cluster what it should import"
    for dialect in Dialect:
        derivation = derive(world_of(case, dialect))
        for cluster, imports in expected.items():
            found = {
                (key.namespace, key.name): shown(derived.views[cluster])
                for key, derived in derivation.services.items()
                if cluster in derived.views
            }
            assert found == imports, f"{cluster}, {dialect.value}"

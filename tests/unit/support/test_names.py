"""Names of tests: short enough to be read in a report, and without numbers of other documents."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.checkout import TOP

LONGEST = 60
NUMBERED = re.compile(r"_(promises?|rule|facts?)_\d|_t\d+_")


def functions(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.name


TESTS = [name for file in (TOP / "tests").rglob("test_*.py") for name in functions(file)]


def test_names_are_not_too_long() -> None:
    assert len(TESTS) > 500
    assert [name for name in TESTS if len(name) > LONGEST] == []


def test_names_cite_no_number() -> None:
    """docs/guarantees.md and docs/karmada-behaviour.md have names for what tests are about."""
    assert [name for name in TESTS if NUMBERED.search(name)] == []

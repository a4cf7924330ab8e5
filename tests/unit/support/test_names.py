"""Names: nouns (docs/style.md). Names of tests are short, and without numbers of other documents."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.checkout import TOP

LONGEST = 60
NOT_NAMES = frozenset({"one", "those", "what", "who", "said", "told", "some"})
NUMBERED = re.compile(r"_(promises?|rule|facts?)_\d|_t\d+_")


def functions(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.name


def bound(tree: ast.AST) -> Iterator[str]:
    """Yield every name that a module gives to something."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("one = 1", "one"),
        ("def what(): ...", "what"),
        ("def f(those): ...", "those"),
        ("[who for who in x]", "who"),
        ("async def told(): ...", "told"),
    ],
)
def test_bound_finds_every_kind_of_name(code: str, name: str) -> None:
    assert name in bound(ast.parse(code))


@pytest.mark.parametrize("package", ["plugin/towpath", "webhook/towpath_webhook", "tests"])
def test_a_name_is_a_noun(package: str) -> None:
    found = [
        f"{file.relative_to(TOP)}: {name}"
        for file in (TOP / package).rglob("*.py")
        for name in bound(ast.parse(file.read_text()))
        if name.strip("_") in NOT_NAMES
    ]
    assert found == []


@pytest.fixture(scope="module")
def tests() -> list[str]:
    return [name for file in (TOP / "tests").rglob("test_*.py") for name in functions(file)]


def test_names_are_not_too_long(tests: list[str]) -> None:
    assert len(tests) > 500
    assert [name for name in tests if len(name) > LONGEST] == []


def test_names_cite_no_number(tests: list[str]) -> None:
    """docs/guarantees.md and docs/karmada-behaviour.md have names for what tests are about."""
    assert [name for name in tests if NUMBERED.search(name)] == []

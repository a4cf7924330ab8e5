"""Tests that the documentation names are there, by file and by function."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.checkout import TOP

PAGES = [page for page in sorted((TOP / "docs").glob("**/*.md")) if "`tests/" in page.read_text()]
NAMED = re.compile(r"`(tests/[\w/.-]+)(?:::(\w+))?`")
ROW = re.compile(r"^\| (?P<promise>[^|]+) \| (?P<tests>[^|]+) \|$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    missing = []
    for path, function in NAMED.findall(page.read_text()):
        file = TOP / path
        if not file.exists() or (function and f"def {function}(" not in file.read_text()):
            missing.append(f"{path}::{function}")
    assert not missing


def test_every_promise_of_the_security_model_names_a_test() -> None:
    text = (TOP / "docs/security.md").read_text()
    tables = [part.partition("\n\n")[0] for part in text.split("| promise | test |\n| --- | --- |\n")[1:]]
    rows = [row for table in tables for row in ROW.finditer(table + "\n")]

    assert len(rows) == sum(len(table.rstrip().splitlines()) for table in tables) > 20
    assert [row["promise"] for row in rows if not NAMED.search(row["tests"])] == []

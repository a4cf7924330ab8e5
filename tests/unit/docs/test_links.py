"""Links in the documentation lead to files that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.checkout import TOP

PAGES = [
    *sorted(TOP.glob("*.md")),
    *sorted((TOP / "docs").glob("**/*.md")),
    *sorted(TOP.glob("examples/**/*.md")),
]
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_relative_links_exist(page: Path) -> None:
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert not missing

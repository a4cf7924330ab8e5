"""Links in the documentation lead to files and headings that are there, and every page is in the site."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.support.checkout import TOP

PAGES = [
    *sorted(TOP.glob("*.md")),
    *sorted((TOP / "docs").glob("**/*.md")),
    *sorted(TOP.glob("examples/**/*.md")),
]
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub and mkdocs make them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_relative_links_exist(page: Path) -> None:
    missing = []
    for link, anchor in LINK.findall(page.read_text()):
        target = page.parent / link if link else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            missing.append(f"{link}#{anchor}")
    assert not missing


def test_every_page_is_in_the_navigation() -> None:
    named = set(re.findall(r"[\w/-]+\.md$", (TOP / "mkdocs.yml").read_text(), re.MULTILINE))

    assert named == {str(page.relative_to(TOP / "docs")) for page in (TOP / "docs").glob("**/*.md")}

"""Generated pages are up to date, and name what they are about."""

from __future__ import annotations

import pytest

from tests.support.checkout import TOP
from towpath.reference.__main__ import PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_up_to_date(name: str) -> None:
    assert (TOP / "docs" / f"{name}.md").read_text() == PAGES[name](), "run make docs"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("cli", "## towpath install"),
        ("cli", "## towpath local up"),
        ("crds", "## ServiceExport"),
        ("grpc", "### ReviewAdmission"),
        ("chart", "## webhook"),
    ],
)
def test_a_page_has_a_section_for_each_thing(name: str, line: str) -> None:
    assert line in PAGES[name]().splitlines()

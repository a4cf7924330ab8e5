"""The registry of reasons and its page."""

from __future__ import annotations

import re

import pytest

from tests.support.checkout import TOP
from towpath.reference import reasons as page
from towpath.rules import reasons
from towpath.rules.reasons import Reason

PAGE = TOP / "docs" / "reasons.md"
CONDITION_REASON = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"
"""What metav1.Condition allows."""


def registries() -> list[type[Reason]]:
    return [
        value
        for value in vars(reasons).values()
        if isinstance(value, type) and issubclass(value, Reason) and value is not Reason
    ]


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page.page(), "run make docs"


def test_every_registry_is_on_the_page() -> None:
    assert {registry for _, _, registry in page._SECTIONS} == set(registries())


@pytest.mark.parametrize("registry", registries())
def test_reasons_are_fit_for_conditions_and_say_what_they_mean(registry: type[Reason]) -> None:
    for reason in registry:
        assert re.match(CONDITION_REASON, reason.value)
        assert len(reason.text) > 10
        assert "|" not in reason.text, "it would break the page's table"

"""What a migration plan prints of what a member has of its own."""

from __future__ import annotations

import pytest

from tests.unit.migration.test_own import EXPORTING, with_service
from towpath.cli.migrate_output import document, print_plan
from towpath.migration.plan import plan
from towpath.rules.reasons import OwnReason

PLANS = plan(with_service(None))


def test_what_a_member_has_of_its_own_is_in_the_document() -> None:
    [member] = document((), PLANS)["members"]

    assert [(own["kind"], own["namespace"], own["name"], own["reason"]) for own in member["own"]] == [
        ("ServiceExport", "shop", "web", OwnReason.EXPORT_ONLY.value)
    ]


def test_what_a_member_has_of_its_own_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_plan(PLANS)
    printed = " ".join(capsys.readouterr().out.split())

    assert "own ServiceExport" in printed
    assert EXPORTING.cluster in printed
    assert "Apply it and its Service to Karmada" in printed

"""Which changes of conditions are worth an event."""

from __future__ import annotations

from typing import Any

import pytest

from towpath.controller.news import news_of


def status(*conditions: str) -> dict[str, Any]:
    """Return a status of conditions like ``Valid=True/Valid``."""
    made = []
    for text in conditions:
        kind, _, rest = text.partition("=")
        value, _, reason = rest.partition("/")
        made.append({"type": kind, "status": value, "reason": reason, "message": f"{reason}."})
    return {"conditions": made}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([], ["Valid=True/Valid", "Conflict=False/NoConflicts", "Ready=False/Pending"], []),
        ([], ["Valid=False/NoService"], ["Warning NoService"]),
        (["Valid=False/NoService"], ["Valid=True/Valid"], ["Normal Valid"]),
        (["Valid=True/Valid"], ["Valid=False/NoMatchingPort"], ["Warning NoMatchingPort"]),
        (["Valid=False/NoService"], ["Valid=False/NoGateway"], ["Warning NoGateway"]),
        (["Conflict=False/NoConflicts"], ["Conflict=True/PortConflict"], ["Warning PortConflict"]),
        (["Conflict=True/PortConflict"], ["Conflict=False/NoConflicts"], ["Normal NoConflicts"]),
        (["Ready=False/Pending"], ["Ready=True/Exported"], ["Normal Exported"]),
        (["Ready=True/Exported"], ["Ready=False/Pending"], []),
        (["Ready=True/Exported"], ["Ready=False/WithdrawalWithheld"], ["Warning WithdrawalWithheld"]),
        (["Managed=True/Managed"], ["Managed=False/MemberLost"], ["Warning MemberLost"]),
        (["Valid=True/Valid"], [], []),
    ],
)
def test_news_is_what_became_another(before: list[str], after: list[str], expected: list[str]) -> None:
    found = [f"{news.type} {news.reason}" for news in news_of(status(*before), status(*after))]

    assert found == expected


def test_another_message_alone_is_no_news() -> None:
    before, after = status("Valid=True/Valid"), status("Valid=True/Valid")
    after["conditions"][0]["message"] = "Exported by more."

    assert list(news_of(before, after)) == []

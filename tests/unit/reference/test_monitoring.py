"""Alerts and dashboard: every metric that they read exists, with the labels by which they select it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.support.checkout import TOP
from tests.support.prometheus import family, groupings, selectors
from towpath.controller.metrics import Metrics as PluginMetrics
from towpath.net.metrics import Metrics as NetMetrics
from towpath_webhook.metrics import Metrics as WebhookMetrics

FILES = TOP / "deploy" / "charts" / "towpath" / "files"
RUNBOOK = (TOP / "docs" / "alerts.md").read_text()
DECLARED = {
    metric.name: metric
    for made in (PluginMetrics(), WebhookMetrics(), NetMetrics())
    for metric in made.declared
}
HISTOGRAMS = {name for name, metric in DECLARED.items() if metric.type == "histogram"}
ADDED = {"instance", "job", "le"}
"""Labels that Prometheus adds, and that of a histogram's buckets."""


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> Iterator[dict[str, Any]]:
    yield from json.loads((FILES / "dashboard.json").read_text())["panels"]


EXPRESSIONS = {rule["alert"]: rule["expr"] for rule in rules()} | {
    f"{panel['title']} {target['refId']}": target["expr"]
    for panel in panels()
    for target in panel.get("targets", ())
}


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_an_expression_reads_what_is_there(expression: str) -> None:
    read = selectors(expression)
    assert read
    known: set[str] = set(ADDED)
    for name, labels in read:
        metric = DECLARED[family(name, HISTOGRAMS)]
        assert labels <= {*metric.labels, *ADDED}, f"{name} has the labels {metric.labels}"
        known |= set(metric.labels)
    assert groupings(expression) <= known


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_has_a_paragraph_in_the_runbook(rule: dict[str, Any]) -> None:
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    paragraph = re.search(rf"^### {rule['alert']}\n\n(.+?)(?=^#|\Z)", RUNBOOK, re.MULTILINE | re.DOTALL)

    assert (page, anchor) == ("docs/alerts.md", rule["alert"].lower())
    assert paragraph, "docs/alerts.md lacks it"
    assert len(paragraph[1].split()) > 20


def test_the_runbook_is_about_alerts_that_are_there() -> None:
    assert set(re.findall("^### (.+)", RUNBOOK, re.MULTILINE)) == {rule["alert"] for rule in rules()}


def test_panels_have_a_title_and_a_description() -> None:
    for panel in panels():
        assert panel["title"]
        assert panel["type"] == "row" or panel["description"]

"""The page docs/metrics.md, generated from the declarations of all metrics."""

from __future__ import annotations

from collections.abc import Iterator

from towpath.controller.metrics import Metrics as PluginMetrics
from towpath.net.metrics import Metrics as NetMetrics
from towpath.page.metrics import Metrics as PageMetrics
from towpath_webhook.metrics import Metrics as WebhookMetrics


def page() -> str:
    """Return the page in Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Metrics"
    yield ""
    yield "Plugin, webhook, data path and page serve these metrics at `/metrics`, and `process_*`."
    yield "`make docs` generates this page from the modules that declare them."
    for title, declared in (
        ("plugin", PluginMetrics().declared),
        ("webhook", WebhookMetrics().declared),
        ("data path (`towpath serve net`)", NetMetrics().declared),
        ("page (`towpath serve page`)", PageMetrics().declared),
    ):
        yield from (
            "",
            f"## Metrics of the {title}",
            "",
            "| metric | type | labels | meaning |",
            "| --- | --- | --- | --- |",
        )
        for metric in declared:
            labels = ", ".join(f"`{label}`" for label in metric.labels)
            yield f"| `{metric.name}` | {metric.type} | {labels} | {metric.meaning} |"

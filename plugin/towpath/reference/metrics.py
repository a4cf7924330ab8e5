"""The page docs/metrics.md, generated from the declarations of the plugin's and the webhook's metrics."""

from __future__ import annotations

from collections.abc import Iterator

from towpath.controller.metrics import Metrics as PluginMetrics
from towpath_webhook.metrics import Metrics as WebhookMetrics


def page() -> str:
    """Return the page in Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Metrics"
    yield ""
    yield "The plugin and the webhook serve these metrics at `/metrics`, with the usual `process_*` metrics."
    yield "`make docs` generates this page from the modules that declare them."
    for title, declared in (("plugin", PluginMetrics().declared), ("webhook", WebhookMetrics().declared)):
        yield from (
            "",
            f"## Metrics of the {title}",
            "",
            "| metric | type | labels | meaning |",
            "| --- | --- | --- | --- |",
        )
        for one in declared:
            labels = ", ".join(f"`{label}`" for label in one.labels)
            yield f"| `{one.name}` | {one.type} | {labels} | {one.meaning} |"

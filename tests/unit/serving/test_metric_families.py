"""What a process reports about its credentials."""

from __future__ import annotations

import pytest

from towpath.controller.metrics import Metrics as PluginMetrics
from towpath.serving.metric_families import MetricSet
from towpath_webhook.metrics import Metrics as WebhookMetrics

NAME = "towpath_credentials_expiry_timestamp_seconds"


@pytest.mark.parametrize("metrics", [PluginMetrics(), WebhookMetrics()], ids=["plugin", "webhook"])
def test_the_time_of_the_moment_is_reported(metrics: MetricSet) -> None:
    times = iter([None, 1_800_000_000.0, 1_900_000_000.0])
    metrics.report_credentials(lambda: next(times))

    seen = [metrics.registry.get_sample_value(NAME) for _ in range(3)]

    assert seen == [None, 1_800_000_000.0, 1_900_000_000.0]

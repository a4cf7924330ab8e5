"""The page's metrics, each declared here with its meaning."""

from __future__ import annotations

from prometheus_client import Counter

from towpath.serving.metric_families import Family, MetricSet


class Metrics(MetricSet):
    """All of them."""

    def __init__(self) -> None:
        super().__init__()
        self.describe_process()
        self.viewers = self.gauge("towpath_page_viewers", "Browsers that follow the page.")
        self.connected = self.gauge(
            "towpath_page_connected", "1 while the plugin's stream is followed, else 0."
        )
        self.frames = self.counter("towpath_page_frames_total", "Changes that were sent to browsers.")
        self.refusals: Family[str, Counter] = self.counters(
            "towpath_page_refusals_total",
            "Requests that were refused: unauthorized, or because there are too many viewers.",
            "reason",
        )
        self.dropped = self.counter(
            "towpath_page_dropped_viewers_total", "Viewers whose connection took nothing for too long."
        )

"""The counters of the data path, which the agents export and the query asks for: names and labels."""

from __future__ import annotations

from typing import NamedTuple

REQUESTS_TOTAL = "towpath_net_requests_total"
ERRORS_TOTAL = "towpath_net_request_errors_total"
EGRESS = "egress"
"""The direction of what is sent to an exporting cluster."""


class Flow(NamedTuple):
    """Names what travels. ``cluster`` is the exporting cluster, empty for requests to pods of this one."""

    direction: str
    namespace: str
    service: str
    port: str
    cluster: str

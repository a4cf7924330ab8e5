"""Envoy's statistics under the names of services."""

from __future__ import annotations

import json
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from towpath.datapath.world import ServiceName
from towpath.net.metrics import Metrics
from towpath.net.traffic import Traffic


def host(
    count: int, errors: int, locality: dict[str, str], *, failed: bool = False, silent: bool = False
) -> dict[str, object]:
    stats = [
        {"name": "rq_total", "type": "COUNTER", "value": str(count)},
        {"name": "rq_active", "value": "1"},
    ]
    stats.append({"name": "rq_error", "value": str(errors)})
    health = {"failed_outlier_check": failed, "failed_active_health_check": silent}
    return {"stats": stats, "health_status": health, "locality": locality}


def test_one_series_for_each_exporting_cluster_and_for_all_pods() -> None:
    far = {"region": "default", "zone": "default", "sub_zone": "default/c1"}
    clusters = [
        {"name": "egress/shop/web:80/each-path", "host_statuses": [host(7, 2, far, failed=True)]},
        {"name": "ingress/shop/a.b:80", "host_statuses": [host(3, 0, {}), host(4, 1, {})]},
        {"name": "agent", "host_statuses": [host(9, 9, {})]},
    ]
    traffic, registry = Traffic(Path("/nowhere")), CollectorRegistry()
    registry.register(traffic)
    traffic.take(json.dumps({"cluster_statuses": clusters}).encode())
    lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
    egress = (
        'cluster="default/default/default/c1",direction="egress",namespace="shop",port="80",service="web"'
    )
    ingress = 'cluster="",direction="ingress",namespace="shop",port="80",service="a.b"'
    assert lines == [
        f"towpath_net_requests_total{{{egress}}} 7.0",
        f"towpath_net_requests_total{{{ingress}}} 7.0",
        f"towpath_net_request_errors_total{{{egress}}} 2.0",
        f"towpath_net_request_errors_total{{{ingress}}} 1.0",
        f"towpath_net_gateway_reachable{{{egress}}} 0.0",
    ]
    declared = {family.name for family in Metrics().declared}
    assert {line.partition("{")[0] for line in lines} <= declared


def test_a_gateway_that_answers_for_no_pod_is_not_silent() -> None:
    """Its 503s put it aside. Of an export's pods none is a gateway."""
    first, third = ({"region": "r", "zone": "z", "sub_zone": f"g/{name}"} for name in ("c1", "c3"))
    clusters = [
        {"name": "egress/shop/web:80", "host_statuses": [host(1, 1, first, failed=True)]},
        {"name": "egress/shop/web:81", "host_statuses": [host(1, 1, third, silent=True), host(1, 1, first)]},
        {"name": "ingress/shop/web:80", "host_statuses": [host(1, 1, {}, silent=True)]},
    ]
    traffic = Traffic(Path("/nowhere"))
    assert traffic.unanswered is None
    traffic.take(json.dumps({"cluster_statuses": clusters}).encode())
    assert traffic.unanswered == {ServiceName("shop", "web"): {"r/z/g/c3"}}

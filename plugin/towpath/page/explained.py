"""The chain of a service as the page shows it: links that differ in their cluster alone are one. Pure."""

from __future__ import annotations

from typing import Any

from towpath.derivation.chain import Step, alike
from towpath.proto.v1alpha1.service_pb2 import Endpoint, Explanation
from towpath.rpc import convert


def explained(answer: Explanation) -> dict[str, Any]:
    """Return an explanation as the page reads it."""
    return {
        "namespace": answer.namespace,
        "name": answer.name,
        "dialect": answer.dialect,
        "state": answer.state,
        "steps": _steps(answer),
        "exporters": [
            {"cluster": e.cluster, "key": e.cluster_key, "lostSince": e.lost_since, "keptUntil": e.kept_until}
            for e in answer.exporters
        ],
        "warnings": [{"reason": w.reason, "text": w.text} for w in answer.warnings],
        "ports": _ports(answer),
        "traffic": _traffic(answer),
    }


def _steps(answer: Explanation) -> list[dict[str, Any]]:
    """Return the steps in order, each with its links; ``isFirst`` marks the one that decides the state."""
    first = convert.link_of(answer.first) if answer.HasField("first") else None
    steps: dict[Step, list[dict[str, Any]]] = {}
    for link, clusters in alike(map(convert.link_of, answer.chain)):
        steps.setdefault(link.step, []).append(
            {
                "subject": link.subject,
                "state": link.state,
                "clusters": clusters,
                "since": link.since,
                "reason": link.reason,
                "text": link.text,
                "isFirst": first is not None and link == first._replace(cluster=""),
            }
        )
    return [{"step": step, "links": links} for step, links in steps.items()]


def _ports(answer: Explanation) -> list[dict[str, Any]]:
    """Return each port with the endpoints that any cluster sees: a cluster does not see its own."""
    ports: dict[tuple[int, str], dict[str, str]] = {}
    for importer in answer.importers:
        for port in importer.ports:
            endpoints = ports.setdefault((port.port, port.protocol), {})
            endpoints.update((endpoint.cluster_key, _address(endpoint)) for endpoint in port.endpoints)
    return [
        {
            "port": f"{number}/{protocol}",
            "endpoints": [{"key": key, "address": address} for key, address in sorted(endpoints.items())],
        }
        for (number, protocol), endpoints in ports.items()
    ]


def _address(endpoint: Endpoint) -> str:
    return f"{endpoint.ip or endpoint.host}:{endpoint.port}{endpoint.path}"


def _traffic(answer: Explanation) -> dict[str, Any] | None:
    if not answer.HasField("traffic_policy"):
        return None
    policy = answer.traffic_policy
    return {
        "lbType": policy.lb_type,
        "targets": [
            {"key": t.cluster_key, "weight": t.weight if t.HasField("weight") else None}
            for t in policy.targets
        ],
        "clusters": list(policy.clusters),
        "conditions": [
            {"type": c.type, "status": c.status, "reason": c.reason, "text": c.message}
            for c in policy.conditions
        ],
    }

"""Health by an object's own word: a table."""

from __future__ import annotations

from typing import Any

import pytest

from towpath.rules.health import why_unhealthy


def condition(kind: str, status: str, **more: str) -> dict[str, str]:
    return {"type": kind, "status": status, **more}


@pytest.mark.parametrize("group", ["flomesh.io", "multicluster.flomesh.io"])
@pytest.mark.parametrize(
    ("status", "why"),
    [
        (None, ""),
        ({}, ""),
        ({"conditions": []}, ""),
        ({"conditions": [condition("Valid", "True"), condition("Conflict", "False")]}, ""),
        ({"conditions": [condition("Valid", "Unknown"), condition("Ready", "False")]}, ""),
        ({"conditions": [condition("Valid", "False", message="no Service")]}, "Valid=False: no Service"),
        ({"conditions": [condition("Valid", "False", reason="Failed")]}, "Valid=False: Failed"),
        ({"conditions": [condition("Valid", "False")]}, "Valid=False: without a reason"),
        (
            {"conditions": [condition("Valid", "True"), condition("Conflict", "True", message="ports")]},
            "Conflict=True: ports",
        ),
        ("odd", ""),
        ({"conditions": {"type": "Valid"}}, ""),
        ({"conditions": ["odd", {"type": ["Valid"], "status": "False"}, {"type": "Valid"}]}, ""),
    ],
)
def test_a_service_export(group: str, status: Any, why: str) -> None:
    head = {"apiVersion": f"{group}/v1alpha1", "kind": "ServiceExport"}
    assert why_unhealthy({**head, "status": status}) == why


@pytest.mark.parametrize(
    "head",
    [
        {"apiVersion": "flomesh.io/v1alpha1", "kind": "ServiceImport"},
        {"apiVersion": "multicluster.flomesh.io/v1alpha1", "kind": "GlobalTrafficPolicy"},
        {"apiVersion": "multicluster.x-k8s.io/v1alpha1", "kind": "ServiceExport"},
        {},
        {"apiVersion": [], "kind": "ServiceExport"},
    ],
)
def test_all_else_is_healthy(head: dict[str, Any]) -> None:
    assert why_unhealthy({**head, "status": {"conditions": [condition("Valid", "False")]}}) == ""

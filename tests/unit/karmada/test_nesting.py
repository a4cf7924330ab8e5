"""Values that nest more deeply than Python's stack."""

from __future__ import annotations

import json
from typing import Any

import pytest

from towpath.karmada.decode.policies import override
from towpath.propagation.overriding import overridden
from towpath.propagation.policies import Target

EXPORT: dict[str, Any] = {
    "apiVersion": "flomesh.io/v1alpha1",
    "kind": "ServiceExport",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"rules": [{"portNumber": 80, "path": "/web"}]},
}


@pytest.mark.parametrize("depth", [50, 500, 950, 9_000])
def test_a_deep_value_hides_no_patch_beside_it(depth: int) -> None:
    """Karmada applies both, whatever their depth."""
    patches = [
        {"path": "/spec/rules/0/path", "operator": "replace", "value": "/theirs"},
        {"path": "/spec/x", "operator": "add", "value": "deep"},
    ]
    policy = {
        "apiVersion": "policy.karmada.io/v1alpha1",
        "kind": "OverridePolicy",
        "metadata": {"name": "hiding", "namespace": "shop"},
        "spec": {"overrideRules": [{"overriders": {"plaintext": patches}}]},
    }
    found = override(json.dumps(policy).encode().replace(b'"deep"', b"[" * depth + b"]" * depth))

    assert found is not None
    copy = overridden(EXPORT, Target("a"), [found])
    assert copy.fault == ""
    assert copy.manifest["spec"]["rules"][0]["path"] == "/theirs"

"""Namespaces that Karmada never propagates."""

from __future__ import annotations

import pytest

from towpath.rules.namespaces import is_reserved


@pytest.mark.parametrize(
    ("namespace", "reserved"),
    [
        ("kube-system", True),
        ("kube-anything", True),
        ("karmada-system", True),
        ("karmada-cluster", True),
        ("karmada-es-cluster-1", True),
        ("default", False),
        ("karmada", False),
        ("kube", False),
        ("shop", False),
    ],
)
def test_karmada_ignores_its_own_namespaces(namespace: str, reserved: bool) -> None:
    assert is_reserved(namespace) is reserved

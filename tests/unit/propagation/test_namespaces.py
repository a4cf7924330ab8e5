"""Which namespaces Karmada propagates."""

from __future__ import annotations

import pytest

from towpath.propagation.namespaces import SKIP_LABEL, is_reserved, is_skipped


@pytest.mark.parametrize(
    "namespace", ["shop", "default", "kube", "karmada", "my-kube-system", "karmada-test"]
)
def test_a_users_namespace_is_not_reserved(namespace: str) -> None:
    assert not is_reserved(namespace)


@pytest.mark.parametrize(
    ("labels", "skipped"), [({}, False), ({SKIP_LABEL: "true"}, True), ({SKIP_LABEL: "false"}, False)]
)
def test_a_label_keeps_a_namespace_from_members(labels: dict[str, str], skipped: bool) -> None:
    assert is_skipped(labels) is skipped

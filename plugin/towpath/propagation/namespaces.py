"""Which namespaces Karmada propagates (pkg/controllers/namespace, pkg/util/names).

Karmada creates a user's namespace in every member. It never propagates *reserved namespaces* (the name in
docs/karmada-behaviour.md), and one with the label goes only where a policy sends it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

SKIP_LABEL = "namespace.karmada.io/skip-auto-propagation"
# Karmada's own, and what --skipped-propagating-namespaces is by default.
_RESERVED = re.compile(r"karmada-system|karmada-cluster|karmada-es-.*|kube-.*")


def is_reserved(namespace: str) -> bool:
    """Tell whether Karmada propagates nothing of a namespace."""
    return _RESERVED.fullmatch(namespace) is not None


def is_skipped(labels: Mapping[str, str]) -> bool:
    """Tell whether a namespace with these labels is not created in every member."""
    return labels.get(SKIP_LABEL) == "true"

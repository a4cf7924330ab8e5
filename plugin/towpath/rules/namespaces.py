"""Namespaces that Karmada never propagates (docs/karmada-behaviour.md, reserved namespaces)."""

from __future__ import annotations

_RESERVED = ("karmada-system", "karmada-cluster")
_PREFIXES = ("karmada-es-", "kube-")
"""``kube-`` is the default of ``--skipped-propagating-namespaces``."""


def is_reserved(namespace: str) -> bool:
    """Tell whether Karmada ignores every object in a namespace."""
    return namespace in _RESERVED or namespace.startswith(_PREFIXES)

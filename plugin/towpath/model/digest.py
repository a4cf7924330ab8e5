"""Digests of what a member acts on: of an import its ports and gateways, of an export its rules.

A member reports the digest of the copy that it holds. Lua inside of Karmada works it out from the content of
the copy (deploy/karmada/interpreter.yaml), so a lost write and an override of the user are seen, whatever
annotations came along. ``export_digest`` and ``View.digest`` give the same text from the same content;
tests/integration/test_interpreter_lua.py holds both together.

The digest is the text as a number, modulo a prime: Lua has no bit operations and no integers above 2^53.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_PRIME = (1 << 37) - 25
"""The largest prime below 2^37: with 16 bits at a time, every step stays exact in Lua."""


def export_digest(spec: object) -> str:
    """Return the digest of a ServiceExport with this spec. It may be anything that its CRD allows."""
    return digest_of(_export_parts(_map(spec)))


def digest_of(parts: Iterable[object]) -> str:
    """Return the digest of texts and numbers, in this order. None counts as an empty text."""
    text = "\n".join("" if part is None else str(part) for part in parts).encode()
    return str(int.from_bytes(text + b"\n" * (len(text) % 2)) % _PRIME)


def _export_parts(spec: Mapping[str, Any]) -> Iterator[object]:
    rewrite = _map(spec.get("pathRewrite"))
    yield from (spec.get("serviceAccountName"), rewrite.get("from"), rewrite.get("to"))
    for rule in map(_map, spec.get("rules") or ()):
        yield from ("rule", rule.get("portNumber"), rule.get("path"), rule.get("pathType"))
    for key in spec.get("targetClusters") or ():
        yield from ("target", key)


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}

"""Objects that nest more deeply than Python's stack: where a CRD allows any value, any user can make them."""

from __future__ import annotations

import sys
from typing import TypeVar

import msgspec

T = TypeVar("T")
_MAX_NESTING = 10_000
"""The depth that an apiserver accepts (encoding/json)."""
_MAX_READ = 100
"""The depth that is read: objects that mean something are flatter."""


def decoded(decoder: msgspec.json.Decoder[T], raw: bytes | msgspec.Raw) -> T:
    """Decode what is needed of an answer, however deep the rest is."""
    try:
        return decoder.decode(raw)
    except RecursionError:
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(limit + _MAX_NESTING)
        try:
            return decoder.decode(raw)
        finally:
            sys.setrecursionlimit(limit)


def shallow(value: object, depth: int = _MAX_READ) -> object:
    """Return a value without what is nested too deeply, which becomes None."""
    if not isinstance(value, dict | list):
        return value
    if not depth:
        return None
    if isinstance(value, dict):
        return {key: shallow(child, depth - 1) for key, child in value.items()}
    return [shallow(child, depth - 1) for child in value]

"""Shared by all decoders: metadata, and keeping equal values once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from typing import TypeVar, cast

import msgspec

H = TypeVar("H", bound=Hashable)
NONE: Mapping[str, str] = {}
"""No labels, annotations or reports: one object for all that have none."""


def _itself(value: H) -> H:
    return value


shared = cast(Callable[[H], H], lru_cache(maxsize=2048)(_itself))
"""Returns the first of equal values, so that the others can be freed."""


class Meta(msgspec.Struct, rename="camel", gc=False):
    """The metadata that decoders need."""

    name: str
    namespace: str = ""
    uid: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    generation: int = 0


class Object(msgspec.Struct, gc=False):
    """An object of which the rest is decoded later, or never."""

    metadata: Meta
    spec: msgspec.Raw = msgspec.Raw(b"{}")
    status: msgspec.Raw = msgspec.Raw(b"{}")

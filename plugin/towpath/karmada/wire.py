"""Lists and watches as an apiserver sends them: pages, events, lines, and the head of each object."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import NamedTuple

import msgspec

from towpath.karmada.nesting import decoded


class Name(NamedTuple):
    """Namespace (empty for cluster-scoped kinds) and name of an object."""

    namespace: str
    name: str


class _Meta(msgspec.Struct, gc=False):
    name: str = ""
    namespace: str = ""
    resource_version: str = msgspec.field(name="resourceVersion", default="")


class _Head(msgspec.Struct, gc=False):
    metadata: _Meta


class _ListMeta(msgspec.Struct):
    resource_version: str = msgspec.field(name="resourceVersion", default="")
    next_page: str = msgspec.field(name="continue", default="")


class Page(msgspec.Struct):
    """A page of a list. Its objects are read one by one."""

    metadata: _ListMeta
    items: list[msgspec.Raw] = []


class Event(msgspec.Struct):
    """An event of a watch."""

    type: str
    object: msgspec.Raw


class Status(msgspec.Struct):
    """What a watch sends when it fails."""

    code: int = 0
    message: str = ""


pages = msgspec.json.Decoder(Page)
events = msgspec.json.Decoder(Event)
_heads = msgspec.json.Decoder(_Head)


def head(raw: bytes | msgspec.Raw) -> tuple[Name, int]:
    """Return name and version of an object. There are few namespaces: equal ones share one string."""
    meta = decoded(_heads, raw).metadata
    return Name(sys.intern(meta.namespace), meta.name), int(meta.resource_version)


async def lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Split a stream into its lines, however long they are."""
    rest = b""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line:
                yield line

"""What is read of an object: all that a rule or the plugin looks at, and nothing else.

``managedFields`` alone are often half of an object. What is not named here the decoder passes over without
making anything of it, which is a third of what an answer cost (measured), and it is not sent on either.
Everything named may still be missing or of any type.
"""

from __future__ import annotations

from typing import Any, TypedDict


class _Identity(TypedDict, total=False):
    name: Any
    namespace: Any
    uid: Any
    generation: Any


class _Metadata(_Identity, total=False):
    creationTimestamp: Any
    deletionTimestamp: Any
    labels: Any
    annotations: Any
    ownerReferences: Any


_Any = list[Any] | str | float | bool | None


class Object(TypedDict, total=False):
    """An object on its way in."""

    apiVersion: Any
    kind: Any
    metadata: _Metadata | _Any
    spec: Any


class Standing(TypedDict, total=False):
    """An object by how it stands."""

    apiVersion: Any
    kind: Any
    metadata: _Identity | _Any
    status: Any

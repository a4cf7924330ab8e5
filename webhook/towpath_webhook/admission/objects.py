"""The fields of an object that rules and the plugin read.

``managedFields`` alone are often half of an object. The decoder skips fields that are not listed here, which
saves a third of the time of an answer, and they are not sent to the plugin. Every listed field may be missing
or of any type."""

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


_NotAnObject = list[Any] | str | float | bool | None


class Object(TypedDict, total=False):
    """An object that would be stored, or is stored."""

    apiVersion: Any
    kind: Any
    metadata: _Metadata | _NotAnObject
    spec: Any


class ObjectStatus(TypedDict, total=False):
    """An object with its status."""

    apiVersion: Any
    kind: Any
    metadata: _Identity | _NotAnObject
    status: Any

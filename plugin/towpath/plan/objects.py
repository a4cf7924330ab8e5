"""One manifest: what makes it one and the same, how errors call it, and what the apiserver makes of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from towpath.errors import InvalidObject

Manifest = dict[str, Any]
_CLUSTER_WIDE = {"Cluster", "Namespace", "ClusterPropagationPolicy", "ClusterOverridePolicy"}
_TEXTS = ("labels", "annotations")
_LONGEST_NAME = 253
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class Id(NamedTuple):
    """What makes an object one and the same: the API version is not part of it."""

    group: str
    kind: str
    namespace: str
    name: str


class Named(NamedTuple):
    """Namespace and name."""

    namespace: str
    name: str


def identity(obj: Mapping[str, Any]) -> Id:
    """Return what makes an object one and the same."""
    meta, group = obj["metadata"], obj["apiVersion"].rpartition("/")[0]
    return Id(group, obj["kind"], meta.get("namespace", ""), meta["name"])


def title(obj: Mapping[str, Any]) -> str:
    """Return how errors name an object."""
    meta = obj["metadata"]
    name = f"{meta['namespace']}/{meta['name']}" if meta.get("namespace") else meta["name"]
    return f"{obj['kind']} {name}"


def part(obj: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a field that should be an object, empty if it is none."""
    found = obj.get(name)
    return found if isinstance(found, dict) else {}


def plain(obj: Mapping[str, Any], namespace: str) -> Manifest:
    """Return an object as the apiserver would have it: JSON's types, nothing null, in ``namespace`` if it
    names none. Raises InvalidObject for what the apiserver refuses of its metadata.
    """
    try:
        pruned: Manifest = _pruned(msgspec.json.decode(msgspec.json.encode(obj)))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidObject(f"{obj['kind']} {obj['metadata']['name']}: Not valid JSON: {error}.") from None
    meta, kind = pruned["metadata"], pruned["kind"]
    there = meta.get("namespace") or namespace
    named = f"{kind} {meta['name']!r}"
    if not _NAME.fullmatch(meta["name"]) or len(meta["name"]) > _LONGEST_NAME:
        raise InvalidObject(
            f"{named}: metadata.name: Must consist of lower-case letters, digits, '-' and '.'."
        )
    if not is_namespace(there):
        raise InvalidObject(
            f"{named}: metadata.namespace: Invalid value {there!r}: must be the name of a namespace."
        )
    for name in _TEXTS:
        _check_texts(meta.get(name, {}), named, f"metadata.{name}")
    bare = {key: value for key, value in meta.items() if key != "namespace"}
    return {**pruned, "metadata": bare if kind in _CLUSTER_WIDE else {**bare, "namespace": there}}


def is_namespace(name: object) -> bool:
    """Tell whether a namespace can be called so."""
    return isinstance(name, str) and _NAMESPACE.fullmatch(name) is not None


def _check_texts(texts: object, named: str, field: str) -> None:
    if not isinstance(texts, dict):
        raise InvalidObject(f"{named}: {field}: Must be an object.")
    for key, value in texts.items():
        if not isinstance(value, str):
            shown = msgspec.json.encode(value).decode()
            raise InvalidObject(
                f"{named}: {field}[{key}]: Invalid value {shown}: must be a string. Write it in quotes."
            )


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _pruned(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_pruned(inner) for inner in value]
    return value

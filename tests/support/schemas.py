"""Structural schemas without descriptions: what ``deploy/schemas`` holds of kinds that are not Towpath's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_CHECKED = (
    "type",
    "properties",
    "items",
    "required",
    "enum",
    "additionalProperties",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-preserve-unknown-fields",
)


def trimmed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``plan`` checks of a schema."""
    found = {name: schema[name] for name in _CHECKED if name in schema}
    if "properties" in found:
        found["properties"] = {name: trimmed(part) for name, part in schema["properties"].items()}
    for name in ("items", "additionalProperties"):
        if isinstance(found.get(name), Mapping):
            found[name] = trimmed(found[name])
    return found

"""What the apiserver refuses of an object, by the schema of its kind and in its words.

The structural schema is checked as ``apiextensions-apiserver`` does it: defaults first, then types, ranges
and unknown fields (kubectl validates strictly), then the CEL rules (``cel_rules``) unless something blocks
them.
Of metadata only the names of fields are checked, and the status is not: the apiserver drops it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from towpath.plan.cel_rules import Rule, broken, rules_of

Schema = Mapping[str, Any]
_ROOT = ("apiVersion", "kind", "metadata", "status")
_METADATA = frozenset(
    {
        "annotations",
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "finalizers",
        "generateName",
        "generation",
        "labels",
        "managedFields",
        "name",
        "namespace",
        "ownerReferences",
        "resourceVersion",
        "selfLink",
        "uid",
    }
)
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}


class Kind(NamedTuple):
    """What identifies a custom resource: group, version and kind."""

    group: str
    version: str
    kind: str


class Problem(NamedTuple):
    """What is wrong with a field. A blocking one prevents that CEL rules are evaluated."""

    field: str
    text: str
    blocks: bool = False

    def __str__(self) -> str:
        return f"{self.field}: {self.text}" if self.field else self.text


def schemas_of(crds: Iterable[Mapping[str, Any]]) -> dict[Kind, Schema]:
    """Return the schemas of CustomResourceDefinitions by kind."""
    return {
        Kind(crd["spec"]["group"], version["name"], crd["spec"]["names"]["kind"]): version["schema"][
            "openAPIV3Schema"
        ]
        for crd in crds
        if crd.get("kind") == "CustomResourceDefinition"
        for version in crd["spec"]["versions"]
    }


def schema_of(obj: Mapping[str, Any], schemas: Mapping[Kind, Schema]) -> Schema | None:
    """Return the schema of an object, None if there is none for its kind."""
    group, _, version = str(obj.get("apiVersion", "")).rpartition("/")
    return schemas.get(Kind(group, version, str(obj.get("kind", ""))))


def problems(obj: Mapping[str, Any], schema: Schema) -> list[Problem]:
    """Return all that the apiserver refuses of an object, in the order of the schema's fields."""
    checked = {name: value for name, value in obj.items() if name not in _ROOT}
    filled = with_defaults(checked, schema)
    found = [*_problems("", filled, schema), *_of_metadata(obj)]
    if any(problem.blocks for problem in found):
        return found
    return [*found, *_broken("", {**obj, **filled}, schema)]


def missing_version(obj: Mapping[str, Any], schemas: Mapping[Kind, Schema]) -> str | None:
    """Return what kubectl says of a kind that exists in another version alone; None if it exists."""
    group, _, version = str(obj.get("apiVersion", "")).rpartition("/")
    kind = str(obj.get("kind", ""))
    versions = {known.version for known in schemas if (known.group, known.kind) == (group, kind)}
    if not versions or version in versions:
        return None
    return f'no matches for kind "{kind}" in version "{obj["apiVersion"]}"'


def with_defaults(value: Any, schema: Schema) -> Any:
    """Return a value with the schema's defaults where a field is missing."""
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        missing = {
            name: part["default"]
            for name, part in properties.items()
            if "default" in part and name not in value and name not in _ROOT
        }
        whole = {**value, **missing}
        return {name: with_defaults(inner, properties.get(name, {})) for name, inner in whole.items()}
    if isinstance(value, list):
        return [with_defaults(item, schema.get("items", {})) for item in value]
    return value


def _problems(field: str, value: Any, schema: Schema) -> Iterator[Problem]:
    kind = schema.get("type", "")
    if kind and not _is(value, kind):
        given = json.dumps(_type_of(value))
        yield Problem(field, f"Invalid value: {given}: {field} in body must be of type {kind}: {given}", True)
        return
    enum = schema.get("enum")
    if enum is not None and value not in enum:
        supported = ", ".join(json.dumps(allowed) for allowed in enum)
        yield Problem(field, f"Unsupported value: {json.dumps(value)}: supported values: {supported}")
    if isinstance(value, dict):
        yield from _of_object(field, value, schema)
    elif isinstance(value, list):
        yield from _of_list(field, value, schema)
    elif isinstance(value, str):
        yield from _of_text(field, value, schema)
    elif kind in {"integer", "number"}:
        yield from _of_number(field, value, schema)


def _of_metadata(obj: Mapping[str, Any]) -> Iterator[Problem]:
    for name in obj.get("metadata", {}):
        if name not in _METADATA:
            yield _unknown(f"metadata.{name}")


def _unknown(field: str) -> Problem:
    return Problem("", f'strict decoding error: unknown field "{field}"')


def _of_object(field: str, value: Mapping[str, Any], schema: Schema) -> Iterator[Problem]:
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield Problem(_below(field, name), "Required value", True)
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    for name, inner in value.items():
        below = _below(field, name)
        if name in properties:
            yield from _problems(below, inner, properties[name])
        elif not open_ended:
            yield _unknown(below)


def _of_list(field: str, value: list[Any], schema: Schema) -> Iterator[Problem]:
    lowest, highest = schema.get("minItems", 0), schema.get("maxItems")
    if len(value) < lowest:
        yield Problem(
            field, f"Invalid value: {len(value)}: {field} in body should have at least {lowest} items"
        )
    if highest is not None and len(value) > highest:
        yield Problem(field, f"Too many: {len(value)}: must have at most {highest} items", True)
        return
    known: list[Any] = []
    for index, item in enumerate(value):
        if schema.get("x-kubernetes-list-type") == "set" and item in known:
            yield Problem(f"{field}[{index}]", f"Duplicate value: {json.dumps(item)}")
        known.append(item)
        yield from _problems(f"{field}[{index}]", item, schema.get("items", {}))


def _of_text(field: str, value: str, schema: Schema) -> Iterator[Problem]:
    highest, pattern = schema.get("maxLength"), schema.get("pattern")
    if len(value) < schema.get("minLength", 0):
        lowest = schema["minLength"]
        yield Problem(
            field,
            f"Invalid value: {json.dumps(value)}: {field} in body should be at least {lowest} chars long",
        )
    if highest is not None and len(value) > highest:
        yield Problem(field, f"Too long: may not be more than {highest} bytes", True)
    if pattern and not re.search(pattern, value):
        yield Problem(field, f"Invalid value: {json.dumps(value)}: {field} in body should match '{pattern}'")


def _of_number(field: str, value: float, schema: Schema) -> Iterator[Problem]:
    lowest, highest = schema.get("minimum"), schema.get("maximum")
    if lowest is not None and value < lowest:
        yield Problem(
            field, f"Invalid value: {value}: {field} in body should be greater than or equal to {lowest}"
        )
    if highest is not None and value > highest:
        yield Problem(
            field, f"Invalid value: {value}: {field} in body should be less than or equal to {highest}"
        )


def _broken(field: str, value: Any, schema: Schema) -> Iterator[Problem]:
    """Yield the CEL rules that a value breaks, and those of its parts."""
    for rule in rules_of(schema):
        if (message := broken(rule, value)) is not None:
            yield Problem(f"{field}{rule.field_path}".lstrip("."), _worded(rule, value, message))
    if isinstance(value, dict):
        for name, part in schema.get("properties", {}).items():
            if name in value and (field or name not in _ROOT):
                yield from _broken(_below(field, name), value[name], part)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _broken(f"{field}[{index}]", item, schema.get("items", {}))


def _worded(rule: Rule, value: Any, message: str) -> str:
    match rule.reason:
        case "FieldValueRequired":
            return f"Required value: {message}"
        case "FieldValueForbidden":
            return f"Forbidden: {message}"
        case _:
            shown = _type_of(value) if isinstance(value, dict | list) else value
            return f"Invalid value: {json.dumps(shown)}: {message}"


def _is(value: Any, kind: str) -> bool:
    if kind in {"integer", "number"} and isinstance(value, bool):
        return False
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[kind])


def _type_of(value: Any) -> str:
    """Return the JSON type of a value."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, float):
        return "number"
    return next((name for name, kind in _TYPES.items() if isinstance(value, kind)), "null")


def _below(field: str, name: str) -> str:
    return f"{field}.{name}" if field else name

"""CRDs as ErieCanal and FSM bring them: the same fields, next to no rules."""

from __future__ import annotations

from typing import Any


def loosened(node: Any) -> Any:
    """Return a schema without what ours add to it."""
    limits = {"minimum", "maximum", "minItems", "maxItems", "maxLength"}
    strict = {"x-kubernetes-validations", "required"} | limits
    if isinstance(node, list):
        return [loosened(child) for child in node]
    if not isinstance(node, dict):
        return node
    return {k: loosened(v) for k, v in node.items() if k not in strict and v != "set"}


def theirs(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a version of a CRD, loosened but for the status, which is theirs as it is."""
    root = schema["openAPIV3Schema"]
    loose = loosened(root)
    if "status" in root["properties"]:
        loose["properties"]["status"] = root["properties"]["status"]
    return {"openAPIV3Schema": loose}

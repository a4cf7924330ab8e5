"""The page docs/crds.md: the fields of each kind, from the CRDs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from towpath.model import manifest
from towpath.model.keys import Dialect
from towpath.setup.assets import deployed

Schema = dict[str, Any]


def page() -> str:
    """Return the page in Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Kinds"
    yield ""
    yield "`make docs` generates this page from `deploy/crds`. The kinds are the same in the API groups"
    yield " and ".join(f"`{dialect.value}`" for dialect in Dialect) + ", version `v1alpha1`."
    for definition in manifest.load(deployed("crds")):
        spec = definition["spec"]
        if spec["group"] != next(iter(Dialect)).value:
            continue
        schema = spec["versions"][0]["schema"]["openAPIV3Schema"]
        names = spec["names"]
        short = f" Short name: `{names['shortNames'][0]}`." if names.get("shortNames") else ""
        yield from ("", f"## {names['kind']}", "", f"{_text(schema)} Scope: {spec['scope']}.{short}", "")
        yield from ("| field | type | meaning |", "| --- | --- | --- |")
        for part in ("spec", "status"):
            for path, field in fields(part, schema["properties"].get(part, {})):
                yield f"| `{path}` | {field.get('type', 'any')} | {_text(field)} |"


def fields(path: str, schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield a field and the fields below it, with their paths."""
    yield path, schema
    inner = schema.get("items", schema)
    below = f"{path}[]" if "items" in schema else path
    for name, field in inner.get("properties", {}).items():
        yield from fields(f"{below}.{name}", field)


def _text(schema: Schema) -> str:
    return " ".join(str(schema.get("description", "")).split()).replace("|", "\\|")

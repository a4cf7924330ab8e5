"""The page docs/chart.md: every value of the chart, from its schema and its defaults."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Schema = dict[str, Any]


def page() -> str:
    """Return the page in Markdown. It is made in a checkout only, which has the chart."""
    chart = Path(__file__).resolve().parents[3] / "deploy" / "charts" / "towpath"
    schema = json.loads((chart / "values.schema.json").read_text())
    defaults = yaml.safe_load((chart / "values.yaml").read_text())
    return "\n".join(_lines(schema, defaults)) + "\n"


def _lines(schema: Schema, defaults: dict[str, Any]) -> Iterator[str]:
    yield "# Values of the chart"
    yield ""
    yield "`make docs` generates this page from `deploy/charts/towpath/values.schema.json` and `values.yaml`."
    yield "[Install with the chart](tasks/install-with-helm.md) says which you need."
    for name, section in schema["properties"].items():
        if name not in defaults:
            continue
        yield from ("", f"## {name}", "", section["description"], "")
        yield from ("| value | type | default | meaning |", "| --- | --- | --- | --- |")
        for path, value, default in leaves(name, section, defaults[name]):
            yield f"| `{path}` | {_type(value)} | `{json.dumps(default)}` | {value['description']} |"


def leaves(path: str, schema: Schema, default: Any) -> Iterator[tuple[str, Schema, Any]]:
    """Yield each value that has no values of its own, with its path and its default."""
    if "properties" not in schema:
        yield path, schema, default
        return
    for name, value in schema["properties"].items():
        yield from leaves(f"{path}.{name}", value, (default or {}).get(name))


def _type(schema: Schema) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"] if value) or "string"
    kinds = schema.get("type", "string")
    return " or ".join(kinds) if isinstance(kinds, list) else str(kinds)

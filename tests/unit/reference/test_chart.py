"""Every value of the chart is described, and no other is accepted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml

from tests.support.checkout import TOP

CHART = TOP / "deploy" / "charts" / "towpath"
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())


def described(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for name, value in schema.get("properties", {}).items():
        yield f"{path}.{name}", value.get("description", "")
        if "properties" in value:
            yield from described(value, f"{path}.{name}")


def test_every_value_is_described_by_a_sentence() -> None:
    bad = [path for path, text in described(SCHEMA) if not text.endswith(".")]

    assert not bad


def test_a_value_that_is_not_in_the_schema_is_refused() -> None:
    sections = [value for value in SCHEMA["properties"].values() if "properties" in value]

    assert sections
    assert all(section["additionalProperties"] is False for section in (SCHEMA, *sections))


def test_every_default_is_in_the_schema() -> None:
    assert {*DEFAULTS, "global"} == SCHEMA["properties"].keys()

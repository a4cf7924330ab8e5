"""Specs that the CRDs accept and refuse, for all who judge them: apiserver, ``towpath plan`` and webhook."""

from __future__ import annotations

import json
from typing import Any

import yaml

from tests.support.checkout import TOP

FOLDER = TOP / "tests" / "integration" / "crd_cases"


def cases(file: str) -> Any:
    """Return a table of the folder."""
    return yaml.safe_load((FOLDER / file).read_text())


def flow(value: object) -> str:
    """Show a value of a case in one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


REFUSED = [
    (kind, spec, entry["field"], entry["fix"])
    for kind, entries in cases("refused.yaml").items()
    for entry in entries
    for spec in entry["specs"]
]
"""Kind, spec, the field that the refusal names, and its words."""
ACCEPTED = [(kind, spec) for kind, specs in cases("accepted.yaml").items() for spec in specs]
"""Kind and spec."""

"""Lua inside of Karmada and the webhook give the same answers: a table, put to both.

Karmada's own interpreter runs the Lua, through ``karmadactl interpret``.
"""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import jsonpatch
import pytest
import yaml

from tests.fuzz.bodies import interpreted
from tests.support.reviews import EXPORT, answer
from towpath.local.build import ensure_binaries
from towpath.model import manifest
from towpath.setup.assets import deployed
from towpath_webhook.admission.hooks import DIALECTS, INTERPRET

LUA = {
    one["spec"]["target"]["apiVersion"]: one
    for one in manifest.load(deployed("karmada") / "interpreter-lua.yaml")
}
VALID, INVALID = {"type": "Valid", "status": "True"}, {"type": "Valid", "status": "False"}
CONFLICT, AGREED = {"type": "Conflict", "status": "True"}, {"type": "Conflict", "status": "False"}
HEALTH: list[tuple[Any, bool]] = [
    (None, True),
    ({}, True),
    ({"conditions": []}, True),
    ({"conditions": [VALID, AGREED]}, True),
    ({"conditions": [{"type": "Valid", "status": "Unknown"}, {"type": "Ready", "status": "False"}]}, True),
    ({"conditions": [INVALID]}, False),
    ({"conditions": [VALID, CONFLICT]}, False),
    ({"conditions": "odd"}, True),
    ("odd", True),
]


def export(dialect: str, status: Any) -> dict[str, Any]:
    whole = {**EXPORT, "apiVersion": f"{dialect}/v1alpha1"}
    return whole if status is None else {**whole, "status": status}


def lua(tmp_path: Path, obj: dict[str, Any], operation: str, **files: Any) -> Any:
    """Return what Karmada makes of the Lua for an object's kind."""
    args = [f"--operation={operation}"]
    for name, content in {"filename": LUA[obj["apiVersion"]], **files}.items():
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content))
        args.append(f"--{name}={path}")
    karmadactl = ensure_binaries().folder / "karmadactl"
    told = subprocess.run([karmadactl, "interpret", *args], check=True, capture_output=True, text=True)
    return yaml.safe_load(told.stdout)


def webhook(obj: dict[str, Any], operation: str, reported: Any) -> dict[str, Any]:
    said = asyncio.run(answer(INTERPRET, interpreted(obj, operation, "u-1", reported)))
    response: dict[str, Any] = json.loads(said)["response"]
    return response


def test_there_is_lua_for_each_dialect_and_it_is_the_same() -> None:
    assert set(LUA) == {f"{dialect}/v1alpha1" for dialect in DIALECTS}
    first, second = (one["spec"]["customizations"] for one in LUA.values())
    assert first == second


@pytest.mark.parametrize(("status", "healthy"), HEALTH)
def test_health(tmp_path: Path, status: Any, healthy: bool) -> None:
    obj = export(DIALECTS[0], status)
    assert webhook(obj, "InterpretHealth", None)["healthy"] is healthy
    assert lua(tmp_path, obj, "InterpretHealth", **{"observed-file": obj}) is healthy


@pytest.mark.parametrize("reported", [[], [{"clusterName": "a", "status": {"conditions": [INVALID]}}]])
def test_without_the_plugin_a_status_stays_as_it_is(tmp_path: Path, reported: list[Any]) -> None:
    obj = export(DIALECTS[1], {"conditions": [VALID], "offeredTo": ["a"]})
    response = webhook(obj, "AggregateStatus", reported)
    patch = json.loads(base64.b64decode(response["patch"])) if "patch" in response else []
    assert jsonpatch.apply_patch(obj, patch) == obj
    files = {"desired-file": obj, "status-file": reported[0] if reported else {"clusterName": "a"}}
    assert lua(tmp_path, obj, "AggregateStatus", **files) == obj

"""The import contracts of pyproject.toml: a module that is in no layer breaks them."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkout import TOP

CONTRACTS = tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
LAYERS = [contract for contract in CONTRACTS if contract["type"] == "layers"]


def linted(folder: Path, contract: dict[str, Any], *more: str) -> subprocess.CompletedProcess[str]:
    """Check a contract on a tree of empty modules: its layers, and some more."""
    (package,) = contract["containers"]
    (folder / package).mkdir()
    named = [name for layer in contract["layers"] for name in re.findall(r"\w+", layer)]
    for name in ("__init__", *named, *contract.get("exhaustive_ignores", ()), *more):
        (folder / package / f"{name}.py").touch()
    options = {name: value for name, value in contract.items() if name != "name"}
    lines = [
        f"{name} = " + ("\n    ".join(["", *value]) if isinstance(value, list) else str(value))
        for name, value in options.items()
    ]
    head = f"[importlinter]\nroot_package = {package}\n[importlinter:contract:layers]\nname = layers\n"
    (folder / ".importlinter").write_text(head + "\n".join(lines))
    return subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder)},
        text=True,
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("contract", LAYERS, ids=lambda contract: contract["containers"][0])
def test_a_module_in_no_layer_is_an_error(tmp_path: Path, contract: dict[str, Any]) -> None:
    done = linted(tmp_path, contract, "stray")

    assert done.returncode == 1, done.stderr
    assert f"{contract['containers'][0]}.stray" in done.stdout


@pytest.mark.parametrize("contract", LAYERS, ids=lambda contract: contract["containers"][0])
def test_the_modules_of_the_layers_are_none(tmp_path: Path, contract: dict[str, Any]) -> None:
    done = linted(tmp_path, contract)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_package_has_a_contract_of_layers() -> None:
    assert {name for contract in LAYERS for name in contract["containers"]} >= {"towpath", "towpath_webhook"}

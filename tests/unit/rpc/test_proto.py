"""The contract holds to its rules, and the code that is checked in is what `make proto` makes of it."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkout import TOP

FOLDER = Path("towpath/proto/v1alpha1")
FILES = sorted(path.stem for path in (TOP / "proto" / FOLDER).glob("*.proto"))
GENERATED = tuple(
    f"{name}_pb2{suffix}" for name in FILES for suffix in (".py", ".pyi", "_grpc.py", "_grpc.pyi")
)


def recipe(out: Path) -> list[str]:
    """Return the command of `make proto`, writing elsewhere: the Makefile is the one place that has it."""
    line = re.search(r"^proto:.*\n\t@(.*)$", (TOP / "Makefile").read_text(), re.MULTILINE)
    assert line, "the Makefile has no target proto"
    programs = Path(sys.executable).parent
    words = [word.replace("$(BIN)", str(programs)) for word in shlex.split(line[1])]
    words = [*words[:-1], *(str(path.relative_to(TOP)) for path in sorted(TOP.glob(words[-1])))]
    return [re.sub(r"^(--\w+_out=(?:[\w,]+:)?)plugin$", rf"\g<1>{out}", word) for word in words]


def test_generated_code_is_up_to_date(tmp_path: Path) -> None:
    command = recipe(tmp_path)
    assert sum(word.endswith(str(tmp_path)) for word in command) == 4
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    made = {path.name: path.read_bytes() for path in (tmp_path / FOLDER).iterdir()}
    assert sorted(made) == sorted(GENERATED)
    for name, content in made.items():
        checked_in = (TOP / "plugin" / FOLDER / name).read_bytes()
        assert content == checked_in, f"{name} is not what proto/ says: run `make proto`"


def buf(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run buf where a copy of the contract is: the Makefile says with what."""
    assert f"\t@$(BIN)/buf {' '.join(args)}\n" in (TOP / "Makefile").read_text(), "make lint does not do it"
    program = Path(sys.executable).parent / "buf"
    return subprocess.run(
        [program, *args], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


LINT, BREAKING = ("lint",), ("breaking", "--against", "proto/base.binpb")


@pytest.mark.parametrize(
    ("args", "line", "instead", "problem"),
    [
        (LINT, "", "", ""),
        (BREAKING, "", "", ""),
        (LINT, "  // Its cluster key.\n", "", 'Field "cluster_key" should have a non-empty comment'),
        (LINT, "string cluster_key", "string clusterKey", "should be lower_snake_case"),
        (BREAKING, "string cluster_key = 2;", "uint32 cluster_key = 2;", 'changed type from "string"'),
        (BREAKING, "string cluster_key = 2;", "string cluster_key = 99;", 'Previously present field "2"'),
        (BREAKING, "string cluster_key = 2;", "string key = 2;", 'changed name from "cluster_key"'),
    ],
)
def test_the_contract_is_documented_and_breaks_no_caller(
    tmp_path: Path, args: tuple[str, ...], line: str, instead: str, problem: str
) -> None:
    shutil.copytree(TOP / "proto", tmp_path / "proto")
    shutil.copy(TOP / "buf.yaml", tmp_path)
    file = tmp_path / "proto" / FOLDER / "service.proto"
    assert line in file.read_text()
    file.write_text(file.read_text().replace(line, instead))
    done = buf(tmp_path, *args)
    assert problem in done.stdout
    assert (done.returncode != 0, done.stderr) == (bool(problem), "")


@pytest.mark.parametrize("module", ["towpath.rpc.client", "towpath.cli.explain"])
def test_commands_do_not_pay_for_grpc(module: str) -> None:
    """gRPC costs 0.1 s: it is imported on the first call."""
    assert importlib.util.find_spec(module)
    code = f"import sys, {module}; sys.exit('grpc' in sys.modules or 'google.protobuf' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert done.returncode == 0

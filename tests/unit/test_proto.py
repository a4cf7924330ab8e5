"""The generated code that is checked in is what `make proto` makes of the contract today."""

from __future__ import annotations

import importlib.util
import itertools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
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


def test_every_part_of_the_contract_is_documented() -> None:
    """The comments are the API's documentation: a field without one is not finished."""
    texts = [path.read_text() for path in (TOP / "proto" / FOLDER).iterdir()]
    lines = [line for text in texts for line in text.splitlines()]
    declared = re.compile(r"\s*(message|service|rpc|repeated|string|uint32|bool|bytes|enum|map<)\b")
    bare = [
        line.strip()
        for above, line in itertools.pairwise(lines)
        if declared.match(line) and not above.strip().startswith("//")
    ]
    assert bare == []


@pytest.mark.parametrize("module", ["towpath.rpc.client", "towpath.cli.explain"])
def test_commands_do_not_pay_for_grpc(module: str) -> None:
    """gRPC costs 0.1 s: it is imported on the first call."""
    assert importlib.util.find_spec(module)
    code = f"import sys, {module}; sys.exit('grpc' in sys.modules or 'google.protobuf' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert done.returncode == 0

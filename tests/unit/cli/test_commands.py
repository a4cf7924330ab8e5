"""The command line imports a command when it is called."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer
from typer.main import get_command

from tests.support.cli import towpath
from towpath.cli import app
from towpath.cli.commands import PLACES


@pytest.mark.parametrize("name", PLACES)
def test_every_command_can_be_loaded(name: str) -> None:
    group = get_command(app)
    found = group.get_command(typer.Context(group), name)  # type: ignore[attr-defined]
    assert (found.name, bool(found.help)) == (name, True)


def test_an_unknown_command_is_compared_with_all() -> None:
    done = towpath("uninstal")
    assert (done.returncode, "Did you mean 'uninstall', 'install'?" in done.stderr) == (2, True)


def test_status_does_not_wait_for_what_other_commands_need() -> None:
    code = "import sys, towpath.cli.status; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"pydantic", "cryptography", "grpc", "towpath.cli.install"}.isdisjoint(done.stdout.split())

"""Tables on narrow terminals, help and completion."""

from __future__ import annotations

import sys
import tomllib

import pytest

from tests.support.checkout import TOP
from tests.support.cli import assert_one_line, towpath
from towpath.cli import program
from towpath.cli.output import show, table

KEY = "region-one/zone-one/group-one/a-cluster-with-a-rather-long-name"


class Terminal:
    """Stands for stdout on a terminal."""

    def __init__(self) -> None:
        self.text = ""
        self.encoding = "utf-8"

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_no_terminal_is_so_narrow_that_a_key_is_cut(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(sys, "stdout", terminal)
    rows = table("exported by", "cluster key", "reason", "")
    text = "The Service has not been propagated to this cluster. Select it in a PropagationPolicy."
    rows.add_row("cluster-1", KEY, "ServiceNotBound", text)

    show(rows)

    assert KEY in terminal.text
    assert "ServiceNotBound" in terminal.text
    words = set(terminal.text.split())
    assert set(text.split()) <= words, "a text wraps between words"


@pytest.mark.parametrize("command", [(), ("install",), ("serve", "plugin"), ("local", "up")])
def test_h_is_help(command: tuple[str, ...]) -> None:
    done = towpath(*command, "-h")
    assert done.returncode == 0, done.stderr
    assert done.stdout.lstrip().startswith("Usage: towpath")


def test_there_is_completion() -> None:
    script = towpath(env={"_TOWPATH_COMPLETE": "source_bash"}).stdout
    assert "complete" in script
    assert "_TOWPATH_COMPLETE" in script


def test_kubectl_finds_the_command_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/local/bin/kubectl-towpath", "status"])
    assert program() == "kubectl towpath"
    scripts = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts["kubectl-towpath"] == scripts["towpath"]


@pytest.mark.parametrize(
    ("gateway", "problem"),
    [
        ("https://gw.example.com", "The gateway is a URL"),
        ("10.0.0.1,10.0.0.2", "several addresses"),
        ("127.0.0.1", "loopback"),
        ("gw:0", "from 1 to 65535"),
    ],
)
def test_a_gateway_that_cannot_work_is_refused(gateway: str, problem: str) -> None:
    done = towpath("gateway", "set", "cluster-1", gateway, env={"KUBECONFIG": "none"})
    assert_one_line(done, f"Invalid gateway '{gateway}'", problem, code=2)

"""The page for newcomers without root, run block by block in a shell, on a Karmada that is there already."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import MEMBERS, Plane
from tests.e2e.shop import annotate
from tests.support.checkout import TOP
from towpath.karmada.client import Client
from towpath.setup.install import install

PAGE = TOP / "docs" / "ten-minutes.md"
_STARTS, _ENDS = 'eval "$(towpath local up)"\n', "towpath local down\n"
"""What the page does with a Karmada of its own; the test has one."""
_SECONDS = 240


def blocks() -> list[str]:
    """Return the blocks in their order, with those at the page's end in place of what needs root."""
    found = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    _up, _install, *steps, _clean_up, up, clean_up = found
    return [up, *steps, clean_up]


@pytest.fixture
async def untouched(plane: Plane, karmada: Client) -> AsyncIterator[Plane]:
    """Give the plane, and install again what the page uninstalls at its end."""
    yield plane
    await install(karmada)
    for member in MEMBERS:
        annotate(plane, member, gateway=None)


def test_the_page_leads_to_an_imported_service(untouched: Plane, tmp_path: Path) -> None:
    plane = untouched
    text = "".join(blocks())
    assert _STARTS in text
    assert _ENDS in text
    program = tmp_path / "bin" / "towpath"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m towpath "$@"\n')
    program.chmod(0o755)
    # Whatever fails, the plugin that the page starts ends with the shell.
    script = "set -em\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n"
    script += text.replace(_STARTS, "").replace(_ENDS, "")
    environment = {
        "PATH": f"{program.parent}:{plane.env.binaries}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "PYTHONPATH": ":".join(path for path in sys.path if path),
        "KUBECONFIG": str(plane.karmada),
    }

    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{(tmp_path / 'plugin.log').read_text()}"
    assert re.search(r"^\d+ services?: \d+ in sync$", done.stdout, re.MULTILINE)
    assert re.search(r"^web +True +False +True ", done.stdout, re.MULTILINE)
    assert re.search(r"^Importing +OK +cluster-1, cluster-2, cluster-3 ", done.stdout, re.MULTILINE)

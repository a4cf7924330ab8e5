"""Programs in Go, built with the Go that the local Karmada is built with."""

from __future__ import annotations

import subprocess
from pathlib import Path

from towpath.local import gomodule
from towpath.local.cachefolder import cache_root
from towpath.local.toolchain import find_toolchain
from towpath.setup.assets import deployed


def build(source: Path, folder: Path) -> Path:
    """Build a file that needs the standard library alone; the program is named like its folder."""
    local = deployed("local")
    toolchain = find_toolchain(
        gomodule.go_version((local / "go.mod").read_text()),
        local / "go-requirements.txt",
        cache_root(),
        installing=lambda _: None,
    )
    program = folder / source.parent.name
    subprocess.run(
        [toolchain.program, "build", "-trimpath", "-o", program, source],
        check=True,
        env={**toolchain.environment(), "GOPROXY": "off"},
    )
    return program

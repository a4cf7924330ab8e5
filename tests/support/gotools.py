"""Programs of a Go module that only tests need, built once into the cache folder: helm, Contour.

Each has a folder in ``deploy/`` with its go.mod, whose one ``tool`` line is the program.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.checkout import TOP
from towpath.local import gomodule
from towpath.local.cachefolder import cache_root, make_folder
from towpath.local.toolchain import find_toolchain

_FLAGS = ("-trimpath", "-ldflags=-s -w")


def folder(name: str, copied: Mapping[str, str] | None = None) -> Path:
    """Return the folder that holds the program ``name``, built first where it is missing: some minutes.

    ``copied`` are folders of the modules that it is built of, as ``module/path``, by the name of the copy.
    """
    module = TOP / "deploy" / name
    go_mod, go_sum = ((module / file).read_text() for file in ("go.mod", "go.sum"))
    toolchain = find_toolchain(
        gomodule.go_version(go_mod),
        TOP / "deploy" / "local" / "go-requirements.txt",
        cache_root(),
        installing=lambda _: None,
    )
    copies = dict(copied or {})
    parts = (go_mod, go_sum, *_FLAGS, *copies, *copies.values(), toolchain.version)
    target = cache_root() / name / hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    def fill(made: Path) -> None:
        work = made / "source"
        work.mkdir()
        for file in ("go.mod", "go.sum"):
            shutil.copyfile(module / file, work / file)

        def go(*argv: str) -> str:
            command = [str(toolchain.program), *argv]
            environment = toolchain.environment()
            return subprocess.run(
                command, check=True, cwd=work, env=environment, stdout=subprocess.PIPE, text=True
            ).stdout

        go("build", *_FLAGS, "-o", f"{made}{os.sep}", "tool")
        for copy, source in copies.items():
            path, _, below = source.partition("//")
            shutil.copytree(Path(go("list", "-m", "-f", "{{.Dir}}", path).strip()) / below, made / copy)
        shutil.rmtree(work)

    program = target / name
    if not program.is_file():
        make_folder(target, complete=program.is_file, fill=fill, waiting=lambda: None)
    return target

"""Runs the command line as a user does: in a process of its own, judged by exit code and output.

An interpreter takes up to a second to import what a command needs, so one server process imports everything
once and forks for every command. Tests that close streams or send signals run ``TOWPATH`` themselves.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path
from pkgutil import walk_packages
from tempfile import TemporaryDirectory
from types import ModuleType

import towpath as towpath_package
import towpath_webhook

TOWPATH = [sys.executable, "-m", "towpath"]
_STREAMS = ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY))


def _modules(package: ModuleType) -> list[str]:
    """Return the names of the modules of a package."""
    found = walk_packages(package.__path__, f"{package.__name__}.")
    return [module.name for module in found if not module.name.endswith(".__main__")]


@cache
def _server() -> ForkServerContext:
    context = get_context("forkserver")
    context.set_forkserver_preload(["__main__", *_modules(towpath_package), *_modules(towpath_webhook)])
    return context


def _main(streams: Sequence[Path], cwd: str, env: Mapping[str, str], args: Sequence[str]) -> None:
    for path, (number, flags) in zip(streams, _STREAMS, strict=True):
        os.dup2(os.open(path, flags), number)
    encoding = env.get("PYTHONIOENCODING")
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(number, mode, encoding=encoding) for number, mode in ((0, "r"), (1, "w"), (2, "w"))
    )
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["towpath", *args]
    from towpath.cli import main

    main()


def towpath(
    *args: str | Path, stdin: str = "", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    given = [str(arg) for arg in args]
    with TemporaryDirectory() as folder:
        streams = [Path(folder, name) for name in ("stdin", "stdout", "stderr")]
        for path, text in zip(streams, (stdin, "", ""), strict=True):
            path.write_text(text)
        process = _server().Process(
            target=_main, args=(streams, str(Path.cwd()), {**os.environ, **(env or {})}, given)
        )
        process.start()
        process.join()
        code = process.exitcode
        process.close()
        assert code is not None
        _, stdout, stderr = streams
        return subprocess.CompletedProcess(given, code, stdout.read_text(), stderr.read_text())


def assert_one_line(done: subprocess.CompletedProcess[str], *words: str, code: int = 1) -> None:
    """Check that a command failed as it should: one clear line, an exit code, no traceback."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    for word in words:
        assert word in done.stderr

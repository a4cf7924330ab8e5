"""Runs the command line as a user does: in a process of its own, judged by exit code and output.

An interpreter takes half a second to import the command line, so one server process imports it once and
forks for every command. Tests that close streams or send signals run ``TOWPATH`` themselves.
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
from tempfile import TemporaryDirectory

from towpath.cli.commands import PLACES

TOWPATH = [sys.executable, "-m", "towpath"]
_COMMANDS = {f"towpath.cli.{place.partition(':')[0]}" for place in PLACES.values()}
_IMPORTED = ["__main__", *_COMMANDS, "towpath.plan.result", "towpath.plan.world", "towpath.rpc.client"]
_STREAMS = ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY))


@cache
def _server() -> ForkServerContext:
    context = get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
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

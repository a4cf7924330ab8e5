"""Runs one program to its end, line by line, and never leaves a part of it running.

``go build`` starts compilers of its own. The program therefore gets a session, hence a process group,
of its own, and whatever ends the run early (Ctrl-C, an exception in the callback) ends the whole group:
first SIGINT, so that go removes its work folder, then SIGKILL for what has not gone. Should this
process itself be killed, nobody can do that; the program then dies of SIGPIPE at its next line.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICK_SECONDS = 0.5
_GRACE_SECONDS = 5.0
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Finished:
    """How a program ended: its exit code, and the lines it wrote."""

    code: int
    output: tuple[str, ...]
    messages: tuple[str, ...]


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str],
    cwd: Path,
    on_line: Callable[[str | None], None],
) -> Finished:
    """Run ``argv`` to its end. ``on_line`` gets each line of stderr, and None after a while without one."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, start_new_session=True
    ) as process:
        try:
            output, messages = _listen(process, on_line)
            return Finished(process.wait(), tuple(output), tuple(messages))
        except BaseException:
            _end_group(process)
            raise


def _listen(
    process: subprocess.Popen[bytes], on_line: Callable[[str | None], None]
) -> tuple[list[str], list[str]]:
    """Read both pipes until the program has closed them; return the lines of stdout and of stderr."""
    output, messages = _Lines(), _Lines()
    with selectors.DefaultSelector() as open_pipes:
        for pipe, lines in ((process.stdout, output), (process.stderr, messages)):
            if pipe is not None:  # never: both were asked for
                open_pipes.register(pipe, selectors.EVENT_READ, lines)
        while open_pipes.get_map():
            ready = open_pipes.select(_TICK_SECONDS)
            for key, _ in ready:
                chunk = os.read(key.fd, _CHUNK)
                if not chunk:
                    open_pipes.unregister(key.fileobj)
                for line in key.data.take(chunk):
                    if key.data is messages:
                        on_line(line)
            if not ready:
                on_line(None)
    return output.lines, messages.lines


class _Lines:
    """Cuts a stream of chunks into lines; the empty chunk ends the last one."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._rest = b""

    def take(self, chunk: bytes) -> list[str]:
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        if not chunk and self._rest:
            whole, self._rest = [self._rest], b""
        new = [line.decode(errors="replace").rstrip("\r") for line in whole]
        self.lines += new
        return new


def _end_group(process: subprocess.Popen[bytes]) -> None:
    _signal_group(process, signal.SIGINT)
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:  # also at a second Ctrl-C; and compilers may outlive the go that started them
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)

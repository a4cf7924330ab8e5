"""Runs the whole suite: ``python -m tests.support.parts [ARGUMENTS FOR BOTH]``.

The tests that use members with nodes share one environment and run one after the other. They wait most of
the time, so they run beside all others where the machine has room for both, and after them elsewhere.
"""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from subprocess import STDOUT, Popen
from typing import IO, NamedTuple

import psutil

from tests.support.checkout import TOP
from towpath.local import limits

PLAIN = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", "--nodes", "without")
NODES = ("--nodes", "only")
INOTIFY, MEMORY_MIB = 200, 14 * 1024
"""What both parts take at once at most: two environments, those that tests boot besides, and the nodes."""
_PASSED, _NOTHING_SELECTED = 0, 5


class Room(NamedTuple):
    """What is left of this machine: inotify instances, and memory."""

    inotify: int
    memory_mib: int

    @property
    def shortage(self) -> str:
        """What both parts at once lack; empty if there is enough."""
        found = []
        if self.inotify < INOTIFY:
            found.append(f"{self.inotify} inotify instances are left, and {INOTIFY} are needed")
        if self.memory_mib < MEMORY_MIB:
            found.append(f"{self.memory_mib} MiB of memory are free, and {MEMORY_MIB} are needed")
        return "; ".join(found)


def verdict(plain: int, nodes: int) -> int:
    """Return the exit code of the suite: 0 if one part has passed, and the other has as well or is empty."""
    codes = {plain, nodes}
    return 0 if _PASSED in codes and codes <= {_PASSED, _NOTHING_SELECTED} else 1


def _room() -> Room:
    machine = limits.machine(TOP)
    free = psutil.virtual_memory().available >> 20
    return Room(machine.inotify_limit - machine.inotify_used, free)


def _start(part: Sequence[str], arguments: Sequence[str], output: IO[bytes] | None = None) -> Popen[bytes]:
    command = [sys.executable, "-m", "pytest", *part, *arguments]
    return Popen(command, stdout=output, stderr=STDOUT if output else None)


def _ended(process: Popen[bytes]) -> int:
    """Wait for a part; returns its exit code. Ctrl-C reaches it as well, and it cleans up before it ends."""
    while True:
        with suppress(KeyboardInterrupt):
            return process.wait()


def _beside(arguments: Sequence[str]) -> tuple[int, int]:
    """Run both at once. What the nodes' part writes is shown at the end."""
    with tempfile.TemporaryFile() as output:
        nodes = _start(NODES, arguments, output)
        plain = _ended(_start(PLAIN, arguments))
        code = _ended(nodes)
        print(f"\nThe tests with nodes: {shlex.join(['pytest', *NODES, *arguments])}", flush=True)
        output.seek(0)
        shutil.copyfileobj(output, sys.stdout.buffer)
        sys.stdout.flush()
    return plain, code


def _in_turn(arguments: Sequence[str]) -> tuple[int, int]:
    return _ended(_start(PLAIN, arguments)), _ended(_start(NODES, arguments))


def main(arguments: Sequence[str]) -> int:
    """Run both parts; returns the exit code."""
    if shortage := _room().shortage:
        print(f"The tests with nodes run last, as this machine has no room for both: {shortage}.", flush=True)
        return verdict(*_in_turn(arguments))
    return verdict(*_beside(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

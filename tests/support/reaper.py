"""Ends what a run has started when the run ends, however it ends.

Every process that a test starts inherits a mark in its environment. A watcher waits on a pipe that only the
run's own process holds: it closes when that process ends, also by kill -9. Whatever still carries the mark
then is killed, in every session and process group, and bridges and cgroups of local Karmadas go with it.
"""

from __future__ import annotations

import os
import sys
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil

_MARK = "TOWPATH_TEST_RUN"
_ENVIRONMENT = "TOWPATH_LOCAL"
"""What marks a process of a local Karmada, with its folder first (``towpath.local.processes``)."""


def marked(run: str) -> list[psutil.Process]:
    """Return the live processes that carry the mark of a run."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(_MARK) == run and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue  # ended meanwhile, or a process of another user
    return found


@cache
def watch() -> str:
    """Mark whatever this process starts from now on, and end what outlives it; return the mark."""
    unmarked = {name: text for name, text in os.environ.items() if name != _MARK}
    run = os.environ[_MARK] = uuid.uuid4().hex
    read, _write = os.pipe()  # _write is never closed: the kernel does it when this process ends
    streams = [
        (os.POSIX_SPAWN_DUP2, read, 0),
        *((os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)),
    ]
    command = [sys.executable, __file__, run]
    os.posix_spawn(sys.executable, command, unmarked, file_actions=streams, setsid=True)
    os.close(read)
    return run


def _reap(run: str) -> None:
    roots: set[Path] = set()
    while left := marked(run):  # again, since one of them may just have started another
        for process in left:
            with suppress(psutil.NoSuchProcess):
                folder, _, _ = process.environ().get(_ENVIRONMENT, "").partition("\n")
                roots |= {Path(folder)} if folder else set()
                process.kill()
        psutil.wait_procs(left, timeout=1)
    from towpath.errors import TowpathError
    from towpath.local.nodes import host  # only now: what is needed to kill is there in any case

    for root in roots:
        with suppress(TowpathError):
            host.remove(root)


if __name__ == "__main__":
    sys.stdin.read()
    _reap(sys.argv[1])

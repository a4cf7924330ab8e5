"""Folders in the user's cache that appear whole or not at all.

A folder is made under a temporary name beside its place and renamed at the end, so whoever finds it
finds all of it: an interrupted or killed maker leaves only a temporary folder behind. One lock per
parent folder lets one maker work at a time, across processes; the kernel frees it when the maker dies,
however that happens. So who holds the lock knows that every temporary folder there is a dead one's,
and removes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_UNFINISHED = ".unfinished-"
_LOCK_POLL_SECONDS = 0.2


def cache_root() -> Path:
    """Return Towpath's folder in ``$XDG_CACHE_HOME``, or in ``~/.cache`` where that is not set."""
    configured = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says that a relative path is to be ignored.
    base = Path(configured) if Path(configured).is_absolute() else Path.home() / ".cache"
    return base / "towpath"


def make_folder(
    target: Path, *, complete: Callable[[], bool], fill: Callable[[Path], None], waiting: Callable[[], None]
) -> None:
    """Make ``target`` by ``fill(folder)``, unless somebody else did in the meantime.

    ``waiting`` is called again and again while another process holds the lock.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target.parent / ".lock", waiting):
        if complete():
            return
        for leftover in target.parent.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=target.parent))
        try:
            fill(folder)
            folder.chmod(0o755)
            _replace(target, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _replace(target: Path, folder: Path) -> None:
    """Rename ``folder`` to ``target``; a damaged predecessor goes, as a folder is never renamed over one."""
    if target.exists():
        damaged = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=target.parent))
        target.rename(damaged / target.name)
        shutil.rmtree(damaged, ignore_errors=True)
    folder.rename(target)


@contextmanager
def locked(lock: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a lock file, across processes; ``waiting`` is called again and again until it is free."""
    # The descriptor is not inherited: programs we start never keep the lock after us.
    with lock.open("a") as held:
        while True:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                # Not a blocking flock: who waits is told so, again and again, and Ctrl-C is heard.
                waiting()
                time.sleep(_LOCK_POLL_SECONDS)
        yield

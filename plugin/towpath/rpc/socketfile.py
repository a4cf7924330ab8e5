"""The file of a unix socket: had by one process, open to one user, gone when its process is.

The socket is bound in a folder that nobody else can enter and renamed to its place when it is served.
So it never exists with the wrong mode, whoever finds it finds somebody who answers, and gRPC, which
removes the path it has bound without looking, never removes the socket of a successor.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from towpath.errors import SocketUnusable

LONGEST = 103
"""Bytes that a socket's path may have: macOS allows so many, Linux four more."""


class Identity(NamedTuple):
    """Which file it is, whatever it is called."""

    device: int
    inode: int


@contextmanager
def placed(path: Path) -> Iterator[Path]:
    """Give a path to bind; at the end of the block the socket there is moved to ``path``.

    A socket that a dead process left at ``path`` is replaced. Raises SocketUnusable if somebody answers
    there, or if there cannot be a socket.
    """
    _check(path)
    try:
        folder = Path(tempfile.mkdtemp(prefix=".", dir=path.parent))
    except OSError as error:
        raise SocketUnusable(f"socket {path}: {path.parent}: {error.strerror}") from None
    bound = folder / "s"
    try:
        _check_length(bound)
        yield bound
        bound.chmod(0o600)
        try:
            bound.rename(path)
        except OSError as error:
            raise SocketUnusable(f"socket {path}: {error.strerror}") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def identity(path: Path) -> Identity | None:
    """Return which file is at a path, None if there is none."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return Identity(found.st_dev, found.st_ino)


def remove(path: Path, ours: Identity | None) -> None:
    """Remove a socket, unless it has been replaced by somebody else's."""
    if ours is not None and identity(path) == ours:
        with suppress(FileNotFoundError):
            path.unlink()


def _check(path: Path) -> None:
    """Raise SocketUnusable if something is at ``path`` that must not be replaced."""
    _check_length(path)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise SocketUnusable(f"socket {path}: {error.strerror}") from None
    if not stat.S_ISSOCK(mode):
        raise SocketUnusable(f"socket {path}: something that is no socket is there")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        code = probe.connect_ex(str(path))
    if code in {0, errno.EAGAIN, errno.EINPROGRESS}:
        raise SocketUnusable(f"socket {path} is in use: somebody answers there, perhaps another plugin")
    if code not in {errno.ECONNREFUSED, errno.ENOENT}:
        raise SocketUnusable(f"socket {path}: {os.strerror(code)}")


def _check_length(path: Path) -> None:
    if len(os.fsencode(path)) > LONGEST:
        raise SocketUnusable(f"socket {path}: the path is longer than {LONGEST} bytes, give a shorter one")

"""The file of a unix socket: owned by one process, accessible to one user, removed with its process.

The socket is bound in a private folder, and renamed to its path when it is served. It never exists with the
wrong mode, a client that finds it finds a server, and gRPC, which unlinks the path that it bound, never
removes the socket of a successor."""

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

MAX_PATH_BYTES = 103
"""Length of a socket's path on macOS; Linux allows four bytes more."""


class FileId(NamedTuple):
    """Identifies a file whatever its name."""

    device: int
    inode: int


@contextmanager
def placed(path: Path) -> Iterator[Path]:
    """Give a path to bind; at the end of the block, move the socket there to ``path``.

    A socket that a dead process left at ``path`` is replaced. Raises SocketUnusable if another process serves
    ``path``, or a socket cannot be created there.
    """
    _check_replaceable(path)
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


def file_id(path: Path) -> FileId | None:
    """Return the id of the file at a path, None if there is none."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return FileId(found.st_dev, found.st_ino)


def remove(path: Path, own: FileId | None) -> None:
    """Remove a socket, unless another process has replaced it."""
    if own is not None and file_id(path) == own:
        with suppress(FileNotFoundError):
            path.unlink()


def _check_replaceable(path: Path) -> None:
    """Raise SocketUnusable if the file at ``path`` must not be replaced."""
    _check_length(path)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise SocketUnusable(f"socket {path}: {error.strerror}") from None
    if not stat.S_ISSOCK(mode):
        raise SocketUnusable(f"socket {path}: A file that is not a socket exists. Give another path.")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        code = probe.connect_ex(str(path))
    if code in {0, errno.EAGAIN, errno.EINPROGRESS}:
        raise SocketUnusable(
            f"socket {path}: Another process serves it. Stop that process or give another path."
        )
    if code not in {errno.ECONNREFUSED, errno.ENOENT}:
        raise SocketUnusable(f"socket {path}: {os.strerror(code)}")


def _check_length(path: Path) -> None:
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise SocketUnusable(f"socket {path}: The path exceeds {MAX_PATH_BYTES} bytes. Give a shorter one.")

"""Writes log lines without waiting: a line that cannot be written now is dropped and counted.

A full disk, a reader that has stopped or a closed file must not stop the work. Errors are caught, a pipe or
terminal is opened again in non-blocking mode, and a socket is written without blocking. Where opening again
is not permitted, the writer asks first whether a write would block."""

from __future__ import annotations

import os
import select
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import ClassVar

_ATOMIC_BYTES = 4096
"""A pipe that is writable accepts as many bytes without blocking."""


class LogWriter:
    """A binary file for log lines. Each call of ``write`` is one or more whole lines."""

    dropped: ClassVar[int] = 0
    """Lines dropped by this process."""

    def __init__(self, descriptor: int) -> None:
        self._send, self.close = _sender(descriptor)
        self._is_in_line = False

    def write(self, lines: bytes) -> None:
        """Write the lines, or drop what cannot be written now."""
        if self._is_in_line:
            lines = b"\n" + lines
        written = 0
        with suppress(OSError):
            while written < len(lines):
                sent = self._send(lines[written:])
                if not sent:
                    break
                written += sent
        if written:
            self._is_in_line = lines[written - 1 : written] != b"\n"
        if written < len(lines):
            LogWriter.dropped += max(1, lines[written:].count(b"\n"))

    def flush(self) -> None:
        """Do nothing: nothing is buffered."""


def _sender(descriptor: int) -> tuple[Callable[[bytes], int], Callable[[], None]]:
    """Return a function that writes some bytes without blocking and returns their number, and its end."""
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return lambda _: 0, _nothing
    if stat.S_ISSOCK(mode):
        peer = socket.socket(fileno=os.dup(descriptor))
        return lambda data: peer.send(data, socket.MSG_DONTWAIT), peer.close
    if not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        return lambda data: os.write(descriptor, data), _nothing
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    try:
        reopened = os.open(f"/proc/self/fd/{descriptor}", flags)
    except OSError:
        return _polling(descriptor), _nothing
    return lambda data: os.write(reopened, data), lambda: os.close(reopened)


def _nothing() -> None:
    """Close nothing: the descriptor belongs to the caller."""


def _polling(descriptor: int) -> Callable[[bytes], int]:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)

    def send(data: bytes) -> int:
        is_writable = any(event & select.POLLOUT for _, event in poll.poll(0))
        return os.write(descriptor, data[:_ATOMIC_BYTES]) if is_writable else 0

    return send

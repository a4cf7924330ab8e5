"""The log is not on the path of the work: a line that cannot be written is dropped and counted."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from towpath.serving.log_writer import LogWriter

LINE = b"x" * 99 + b"\n"
MANY = 2000
"""Lines: more than the buffer of a pipe or a socket."""
pytestmark = pytest.mark.timeout(20)


@contextmanager
def counted(at_least: int) -> Iterator[None]:
    before = LogWriter.dropped
    yield
    assert LogWriter.dropped - before >= at_least


def written(descriptor: int, lines: int) -> None:
    """Write in a thread, so that a write that blocks fails the test."""
    writer = LogWriter(descriptor)

    def write() -> None:
        for _ in range(lines):
            writer.write(LINE)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive(), "the writer waits"
    writer.close()


@pytest.mark.parametrize("may_reopen", [True, False])
def test_a_pipe_without_reader_drops_lines(may_reopen: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not may_reopen:

        def denied(*_: object) -> int:
            raise PermissionError

        monkeypatch.setattr(os, "open", denied)
    reader, descriptor = os.pipe()
    with counted(MANY // 2):
        written(descriptor, MANY)
    assert os.read(reader, len(LINE)) == LINE
    os.close(reader)
    os.close(descriptor)


def test_a_socket_without_reader_drops_lines() -> None:
    here, there = socket.socketpair()
    with here, there, counted(1):
        here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        written(here.fileno(), MANY)
        assert there.recv(len(LINE)) == LINE


def test_a_full_device_drops_lines() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    with counted(3):
        written(descriptor, 3)
    os.close(descriptor)


def test_a_closed_descriptor_drops_lines() -> None:
    reader, descriptor = os.pipe()
    os.close(reader)
    os.close(descriptor)
    with counted(3):
        written(descriptor, 3)


def test_a_pipe_whose_reader_has_gone_drops_lines() -> None:
    reader, descriptor = os.pipe()
    os.close(reader)
    with counted(3):
        written(descriptor, 3)
    os.close(descriptor)


def test_a_line_that_was_cut_is_ended_before_the_next() -> None:
    reader, descriptor = os.pipe()
    os.set_blocking(reader, False)
    writer = LogWriter(descriptor)
    writer.write(b"y" * (1 << 20) + b"\n")
    assert drained(reader).strip(b"y") == b""
    writer.write(LINE)
    assert drained(reader) == b"\n" + LINE
    writer.close()
    os.close(reader)
    os.close(descriptor)


def drained(reader: int) -> bytes:
    """Read what a pipe holds."""
    received = b""
    with suppress(BlockingIOError):
        while chunk := os.read(reader, 1 << 16):
            received += chunk
    return received


def test_a_file_gets_every_line(tmp_path: Path) -> None:
    before = LogWriter.dropped
    with (tmp_path / "log").open("wb") as file:
        written(file.fileno(), 50)
    assert (tmp_path / "log").read_bytes() == LINE * 50
    assert LogWriter.dropped == before

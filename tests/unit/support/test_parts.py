"""Whether the two parts of the suite run at once, and what they say together."""

from __future__ import annotations

import pytest

from tests.support.parts import INOTIFY, MEMORY_MIB, Room, verdict


@pytest.mark.parametrize(
    ("room", "words"),
    [
        (Room(INOTIFY, MEMORY_MIB), ""),
        (Room(INOTIFY - 1, MEMORY_MIB), "inotify"),
        (Room(INOTIFY, MEMORY_MIB - 1), "memory"),
    ],
)
def test_both_parts_need_room(room: Room, words: str) -> None:
    assert words in room.shortage
    assert bool(room.shortage) is bool(words)


@pytest.mark.parametrize(
    ("plain", "nodes", "expected"),
    [(0, 0, 0), (0, 5, 0), (5, 0, 0), (5, 5, 1), (1, 0, 1), (0, 1, 1), (5, 1, 1), (2, 0, 1), (-9, 0, 1)],
)
def test_one_part_that_fails_fails_the_suite(plain: int, nodes: int, expected: int) -> None:
    assert verdict(plain, nodes) == expected

"""Waiting for a condition: the only way in which tests wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE = 30.0


async def until(
    look: Callable[[], Awaitable[T]], right: Callable[[T], bool], patience: float = PATIENCE
) -> T:
    """Look until what is seen is right; fail with what was seen last."""
    deadline = time.monotonic() + patience
    while True:
        seen = await look()
        if right(seen):
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"not seen within {patience:.0f} s; seen last: {seen!r}")
        await asyncio.sleep(0.05)

"""Waiting for a condition: the only way in which tests wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from towpath.polling import POLL

T = TypeVar("T")
PATIENCE = 60.0
"""Seconds. Only a test that fails waits so long; one about a time states its own."""


async def until(
    look: Callable[[], Awaitable[T]], right: Callable[[T], bool], patience: float = PATIENCE
) -> T:
    """Look until what is seen is right; fail with what was seen last.

    A look that takes long is repeated less often: what it asks needs the processor to become right.
    """
    deadline = time.monotonic() + patience
    while True:
        began = time.monotonic()
        seen = await look()
        ended = time.monotonic()
        if right(seen):
            return seen
        if ended > deadline:
            raise AssertionError(f"not seen within {patience:.0f} s; seen last: {seen!r}")
        await asyncio.sleep(max(POLL, ended - began))

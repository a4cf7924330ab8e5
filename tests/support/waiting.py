"""Waiting for a condition: the only way in which tests wait."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from towpath import polling

T = TypeVar("T")
PATIENCE = 60.0
"""Seconds. Only a test that fails waits so long; one about a time states its own."""


async def until(
    look: Callable[[], Awaitable[T]], right: Callable[[T], bool], patience: float = PATIENCE
) -> T:
    """Look until what is seen is right; fail with what was seen last."""

    def unseen(last: T) -> AssertionError:
        return AssertionError(f"not seen within {patience:.0f} s; seen last: {last!r}")

    return await polling.until(look, right, patience=patience, otherwise=unseen)

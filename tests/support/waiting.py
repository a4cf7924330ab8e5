"""Waiting for a condition: the only way in which tests wait."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from towpath import polling

T = TypeVar("T")
PATIENCE = 30.0


async def until(
    look: Callable[[], Awaitable[T]], right: Callable[[T], bool], patience: float = PATIENCE
) -> T:
    """Look until what is seen is right; fail with what was seen last."""

    def otherwise(seen: T) -> AssertionError:
        return AssertionError(f"not seen within {patience:.0f} s; seen last: {seen!r}")

    return await polling.until(look, right, patience=patience, otherwise=otherwise)

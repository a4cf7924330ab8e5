"""Waiting for a condition, never for a time: look, and look again until it is right or patience ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from towpath.errors import ApiError

T = TypeVar("T")
POLL = 0.1
"""Seconds between two looks."""


async def last_seen(
    look: Callable[[], Awaitable[T]], right: Callable[[T], bool], *, patience: float, every: float = POLL
) -> T:
    """Return what is seen once it is right, or else what is seen last within ``patience`` seconds.

    A look that takes long is repeated less often: what it asks needs the processor to become right.
    """
    deadline = time.monotonic() + patience
    while True:
        began = time.monotonic()
        seen = await look()
        ended = time.monotonic()
        if right(seen) or ended >= deadline:
            return seen
        await asyncio.sleep(max(every, ended - began))


async def until(
    look: Callable[[], Awaitable[T]],
    right: Callable[[T], bool],
    *,
    patience: float,
    otherwise: Callable[[T], Exception],
) -> T:
    """Return what is seen once it is right; after ``patience`` seconds raise what ``otherwise`` gives."""
    seen = await last_seen(look, right, patience=patience)
    if right(seen):
        return seen
    raise otherwise(seen)


async def accepted(call: Callable[[], Awaitable[T]], *, patience: float) -> T:
    """Return what a call answers once the apiserver accepts it; after ``patience`` seconds raise its refusal.

    For what is there soon after something else: an API after its CRD, a permission after its binding.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            return await call()
        except ApiError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(POLL)

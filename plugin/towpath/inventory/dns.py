"""Looking up a name: FSM connects to IPv4 addresses only, so only those are asked for."""

from __future__ import annotations

import asyncio
import socket

DEADLINE = 10.0
"""Seconds after which a name counts as not found."""


async def addresses(name: str) -> frozenset[str]:
    """Return the IPv4 addresses of a name, none if it has none or nobody answers."""
    looking = asyncio.get_running_loop().getaddrinfo(
        name, None, family=socket.AF_INET, type=socket.SOCK_STREAM
    )
    try:
        found = await asyncio.wait_for(looking, DEADLINE)
    except (OSError, TimeoutError, UnicodeError):
        return frozenset()
    return frozenset(str(info[4][0]) for info in found)


def one_of(found: frozenset[str], before: str = "") -> str:
    """Return which of several addresses counts: the one that did before, if it still does."""
    return before if before in found else min(found, default="")

"""Resolving a name to IPv4 addresses: FSM connects to no other."""

from __future__ import annotations

import asyncio
import socket

DEADLINE_SECONDS = 10.0
"""Time after which a name counts as not resolved."""


async def addresses(name: str) -> frozenset[str]:
    """Return the IPv4 addresses of a name; none if it has none or no server answers."""
    resolving = asyncio.get_running_loop().getaddrinfo(
        name, None, family=socket.AF_INET, type=socket.SOCK_STREAM
    )
    try:
        found = await asyncio.wait_for(resolving, DEADLINE_SECONDS)
    except (OSError, TimeoutError, UnicodeError):
        return frozenset()
    return frozenset(str(info[4][0]) for info in found)


def choose(found: frozenset[str], before: str = "") -> str:
    """Return one of several addresses: the previous one while it is among them, so that it does not
    alternate."""
    return before if before in found else min(found, default="")

"""Free TCP ports on 127.0.0.1, outside the range from which the kernel hands out ports of its own.

Ports from ``bind(0)`` would lie inside that range, where any outgoing connection could take one
between our look and the start of the process that should have it.
"""

from __future__ import annotations

import random
import socket

from towpath.errors import BootFailed

LOWEST, HIGHEST = 20000, 32000
_TRIES = 200


def is_free(port: int) -> bool:
    """Tell whether nothing listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_ports(count: int) -> list[int]:
    """Return ``count`` neighbouring free ports, from a random place so that environments do not meet.

    Raises BootFailed if there are none.
    """
    for _ in range(_TRIES):
        first = random.randrange(LOWEST, HIGHEST - count)  # noqa: S311 - not a secret
        block = list(range(first, first + count))
        if all(map(is_free, block)):
            return block
    raise BootFailed(f"127.0.0.1 has no {count} consecutive free ports between {LOWEST} and {HIGHEST}.")


def demand_ports(first: int, count: int) -> list[int]:
    """Return ``count`` ports from ``first`` on. Raises BootFailed naming those that are taken."""
    block = list(range(first, first + count))
    taken = [port for port in block if not is_free(port)]
    if taken:
        which = ", ".join(map(str, taken))
        raise BootFailed(f"Ports are taken: {which}. Choose another --base-port, or omit it.")
    return block

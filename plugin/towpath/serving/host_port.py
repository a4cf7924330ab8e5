"""HOST:PORT as options give it: parsed here and nowhere else."""

from __future__ import annotations

from typing import NamedTuple

from towpath.errors import UsageError

HIGHEST_PORT = 65535


class HostPort(NamedTuple):
    """A host, and a port on it. An empty host means all interfaces; an IPv6 address has no brackets."""

    host: str
    port: int


def parse_host_port(text: str, option: str, *, needs_host: bool = False) -> HostPort:
    """Return the host and port in ``HOST:PORT``, ``[IPv6]:PORT`` or, unless ``needs_host``, ``:PORT``.

    Raises UsageError naming the option.
    """
    host, colon, digits = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    port = int(digits) if digits.isascii() and digits.isdecimal() else -1
    if (
        not colon
        or not 0 <= port <= HIGHEST_PORT
        or (bracketed == (":" not in host))
        or (needs_host and not host)
    ):
        raise UsageError(f"{option}: Invalid value {text!r}: must be HOST:PORT.")
    return HostPort(host.strip("[]"), port)

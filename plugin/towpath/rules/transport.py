"""Which protocol a port speaks, and how towpath-net carries it: as HTTP, or as a byte stream in a tunnel.

``appProtocol`` decides, then the beginning of the port's name, as in FSM. HTTP is assumed otherwise.
"""

from __future__ import annotations

from enum import StrEnum

_STREAMS = frozenset(
    (
        "tcp",
        "tls",
        "https",
        "tcp-server-first",
        "mysql",
        "postgres",
        "postgresql",
        "redis",
        "mongo",
        "amqp",
        "kafka",
    )
)


class Transport(StrEnum):
    """How the data of a connection travels between clusters."""

    HTTP = "http"
    STREAM = "stream"


def transport_of(app_protocol: str | None, port_name: str | None) -> Transport:
    """Return how a port's data travels."""
    if app_protocol:
        return Transport.STREAM if app_protocol.lower() in _STREAMS else Transport.HTTP
    name = (port_name or "").lower()
    is_stream = any(name == known or name.startswith(f"{known}-") for known in _STREAMS)
    return Transport.STREAM if is_stream else Transport.HTTP

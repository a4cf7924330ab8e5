"""Where a member's gateway is: read from its annotations, or from a flomesh Cluster of the same name.

A flomesh Cluster overrides region, zone, group and gateway together, as in the walk-through; without
one they come from the Karmada Cluster's spec and annotations (DESIGN, rule 1).
"""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address

from towpath.model.cluster import DEFAULT_GATEWAY_PORT, FlomeshCluster, Member
from towpath.rules.reasons import Excluded

_HIGHEST_PORT = 65535


def with_flomesh_cluster(member: Member, cluster: FlomeshCluster) -> Member:
    """Return the member as its flomesh Cluster describes it."""
    return member.model_copy(update=cluster.model_dump())


def parse_gateway(text: str) -> tuple[str, int] | None:
    """Read ``host`` or ``host:port`` from an annotation; None if it is neither."""
    host, colon, digits = text.strip().partition(":")
    if not colon:
        return (host, DEFAULT_GATEWAY_PORT) if host else None
    if not host or not digits.isascii() or not digits.isdigit():
        return None
    port = int(digits)
    return (host, port) if 1 <= port <= _HIGHEST_PORT else None


def why_unreachable(member: Member) -> Excluded | None:
    """Tell why other clusters could not connect to the member's gateway, None if they could."""
    if not member.gateway_host:
        return Excluded.NO_GATEWAY
    try:
        IPv4Address(member.gateway_host)
    except AddressValueError:
        return Excluded.GATEWAY_NOT_IPV4
    return None

"""Where a member's gateway is: read from its annotations, or from a flomesh Cluster of the same name.

A flomesh Cluster overrides region, zone, group and gateway together, as in the walk-through; without
one they come from the Karmada Cluster's spec and annotations ("inventory rule").
"""

from __future__ import annotations

import re

from towpath.model.cluster import DEFAULT_GATEWAY_PORT, FlomeshCluster, Member, changed
from towpath.rules.reasons import Exclusion, ExclusionReason

_HIGHEST_PORT = 65535
_LONGEST_NAME = 253
_LOOPBACK, _UNSPECIFIED = "127.", "0.0.0.0"  # noqa: S104 - not to listen on
_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_DNS_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")


def with_flomesh_cluster(member: Member, cluster: FlomeshCluster) -> Member:
    """Return the member as its flomesh Cluster describes it."""
    return changed(member, **cluster.model_dump(), resolved="")


def parse_gateway(text: str) -> tuple[str, int] | None:
    """Read ``host`` or ``host:port`` from an annotation; None if it is neither."""
    host, colon, digits = text.strip().partition(":")
    if not colon:
        return (host, DEFAULT_GATEWAY_PORT) if host else None
    if not host or not digits.isascii() or not digits.isdigit():
        return None
    port = int(digits)
    return (host, port) if 1 <= port <= _HIGHEST_PORT else None


def is_dns_name(host: str) -> bool:
    """Tell whether a gateway's host is a name that has to be looked up."""
    last = host.rpartition(".")[2]
    return len(host) <= _LONGEST_NAME and not last.isdigit() and bool(_DNS_NAME.fullmatch(host.lower()))


def why_no_gateway(member: Member) -> Exclusion | None:
    """Tell why other clusters could not connect to the member's gateway, None if they could."""
    host = member.gateway_host
    if not host:
        return Exclusion(ExclusionReason.NO_GATEWAY)
    if not member.gateway_ip:
        unresolved = (
            ExclusionReason.GATEWAY_UNRESOLVED if is_dns_name(host) else ExclusionReason.GATEWAY_NOT_IPV4
        )
        return Exclusion(unresolved, host)
    if member.gateway_ip.startswith(_LOOPBACK) or member.gateway_ip == _UNSPECIFIED:
        return Exclusion(ExclusionReason.GATEWAY_LOCAL, member.gateway_ip)
    return None

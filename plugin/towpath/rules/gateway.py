"""Where other clusters connect to a member ("inventory rule" and "gateway rule" in docs/rules.md).

One parser reads both sources of a gateway, the annotation of a Karmada Cluster and a flomesh Cluster of the
same name, and each mistake has a reason of its own. A member keeps the text of what cannot be used, so that
the exclusion can quote it.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import NamedTuple

from towpath.model.cluster import DEFAULT_GATEWAY_PORT, FlomeshCluster, Member, changed
from towpath.model.service import MAX_PORT
from towpath.rules.reasons import Exclusion, ExclusionReason

_MAX_NAME_CHARACTERS = 253
_BROADCAST = IPv4Address(2**32 - 1)
_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_DNS_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_LOCALHOST = re.compile(r"(.*\.)?localhost")
_SEPARATOR = re.compile(r"[,;\s]")


class Gateway(NamedTuple):
    """A host and a port, or what is wrong with them. Then ``host`` is the text that was read."""

    host: str
    port: int = DEFAULT_GATEWAY_PORT
    problem: ExclusionReason | None = None


def parse_gateway(text: str) -> Gateway:
    """Read ``host`` or ``host:port``. A DNS name may end with a dot, which is left out."""
    text = text.strip()
    problem = _problem_of_text(text)
    if problem is not None:
        return Gateway(text, problem=problem)
    host, colon, digits = text.partition(":")
    if colon and not _is_port(digits):
        return Gateway(text, problem=ExclusionReason.GATEWAY_PORT)
    host = host.removesuffix(".")
    problem = _problem_of_host(host)
    if problem is not None:
        return Gateway(text, problem=problem)
    return Gateway(host, int(digits) if colon else DEFAULT_GATEWAY_PORT)


def with_flomesh_cluster(member: Member, cluster: FlomeshCluster) -> Member:
    """Return the member as its flomesh Cluster describes it: region, zone, group and gateway together."""
    fields = cluster.model_dump()
    text, port = cluster.gateway_host.strip(), cluster.gateway_port
    if text and not 1 <= port <= MAX_PORT:
        fields |= {"gateway_host": f"{text}:{port}", "gateway_port": DEFAULT_GATEWAY_PORT}
    elif ":" not in text:  # with a port in the host it stays as it is, and is refused
        fields |= {"gateway_host": parse_gateway(text).host}
    return changed(member, **fields, resolved="")


def is_dns_name(host: str) -> bool:
    """Tell whether a gateway's host is a name that has to be resolved."""
    gateway = parse_gateway(host)
    return gateway.problem is None and gateway.host == host and _ipv4(host) is None


def why_no_gateway(member: Member) -> Exclusion | None:
    """Return why other clusters cannot connect to the member's gateway, None if they can."""
    gateway = parse_gateway(member.gateway_host)
    if gateway.problem is not None:
        return Exclusion(gateway.problem, gateway.host)
    if gateway.host != member.gateway_host:
        return Exclusion(ExclusionReason.GATEWAY_MALFORMED, f"{member.gateway_host} in gatewayHost")
    address = _ipv4(member.gateway_ip)
    if address is None:
        return Exclusion(ExclusionReason.GATEWAY_UNRESOLVED, gateway.host)
    if not is_routable(address):
        return Exclusion(ExclusionReason.GATEWAY_NOT_ROUTABLE, member.gateway_ip)
    return None


def is_routable(address: IPv4Address) -> bool:
    """Tell whether an address can lead from one cluster to another."""
    return not (
        address.is_loopback
        or address.is_unspecified
        or address.is_multicast
        or address.is_link_local
        or address == _BROADCAST
    )


def _problem_of_text(text: str) -> ExclusionReason | None:
    """Return what is wrong with the text as a whole."""
    if not text:
        return ExclusionReason.NO_GATEWAY
    if "/" in text:
        return ExclusionReason.GATEWAY_URL
    if _SEPARATOR.search(text):
        return ExclusionReason.GATEWAY_SEVERAL
    if text.startswith("[") or _is_ipv6(text):
        return ExclusionReason.GATEWAY_NOT_IPV4
    return None


def _problem_of_host(host: str) -> ExclusionReason | None:
    """Return what is wrong with a host alone."""
    address, name = _ipv4(host), host.lower()
    if address is not None:
        return None if is_routable(address) else ExclusionReason.GATEWAY_NOT_ROUTABLE
    if name.rpartition(".")[2].isdigit() or len(name) > _MAX_NAME_CHARACTERS or not _DNS_NAME.fullmatch(name):
        return ExclusionReason.GATEWAY_MALFORMED
    return ExclusionReason.GATEWAY_NOT_ROUTABLE if _LOCALHOST.fullmatch(name) else None


def _is_port(digits: str) -> bool:
    return digits.isascii() and digits.isdigit() and 1 <= int(digits) <= MAX_PORT


def _ipv4(text: str) -> IPv4Address | None:
    try:
        return IPv4Address(text)
    except AddressValueError:
        return None


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True

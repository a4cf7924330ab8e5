"""Where other clusters connect to a member ("inventory rule" and "gateway rule" in docs/rules.md).

One parser reads both sources of a gateway, the annotation of a Karmada Cluster and a flomesh Cluster of the
same name, and each mistake has a reason of its own. A member keeps the text of what cannot be used, so that
the exclusion can quote it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, ip_address
from typing import NamedTuple

from towpath.model.cluster import DEFAULT_GATEWAY_PORT, FlomeshCluster, Member, changed
from towpath.model.service import MAX_PORT
from towpath.rules.reasons import Exclusion, ExclusionReason

REMEMBERED_GATEWAYS = 4096
"""Gateways that are judged once and not again for every service: more than a fleet has."""
_MAX_NAME_CHARACTERS = 253
_UNROUTABLE = tuple(
    map(IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4"))
)
"""This network, loopback, link-local, multicast, and reserved with broadcast (RFC 6890)."""
_METADATA = frozenset(
    map(
        ip_address,
        (
            *("100.100.100.200", "168.63.129.16", "192.0.0.192"),  # Alibaba, Azure, Oracle
            *("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254"),  # AWS and its pods, Google
            *("fd00:c1::a9fe:a9fe", "fd00:42::42"),  # Oracle, Scaleway
        ),
    )
)
"""Where clouds give nodes their credentials, beside ``_METADATA_NETWORK``."""
_METADATA_NETWORK = IPv4Network("169.254.0.0/16")
_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_DNS_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_PORT = re.compile(r"[0-9]{1,5}")
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
    problem = _problem_of_host(host)
    if problem is not None:
        return Gateway(text, problem=problem)
    return Gateway(host.removesuffix("."), int(digits) if colon else DEFAULT_GATEWAY_PORT)


def with_flomesh_cluster(member: Member, cluster: FlomeshCluster) -> Member:
    """Return the member as its flomesh Cluster describes it: region, zone, group and gateway together."""
    fields = cluster.model_dump()
    text, port = cluster.gateway_host.strip(), cluster.gateway_port
    if text and not 1 <= port <= MAX_PORT:
        fields |= {"gateway_host": f"{text}:{port}", "gateway_port": DEFAULT_GATEWAY_PORT}
    elif ":" not in text:  # with a port in the host it stays as it is, and is refused
        fields |= {"gateway_host": parse_gateway(text).host}
    return changed(member, **fields, resolved="")


@lru_cache(REMEMBERED_GATEWAYS)
def is_dns_name(host: str) -> bool:
    """Tell whether a gateway's host is a name that has to be resolved."""
    gateway = parse_gateway(host)
    return gateway.problem is None and gateway.host == host and _ipv4(host) is None


def why_no_gateway(member: Member) -> Exclusion | None:
    """Return why other clusters cannot connect to the member's gateway, None if they can."""
    return _why_not_usable(member.gateway_host, member.gateway_ip)


@lru_cache(REMEMBERED_GATEWAYS)
def _why_not_usable(host: str, ip: str) -> Exclusion | None:
    gateway = parse_gateway(host)
    if gateway.problem is not None:
        return Exclusion(gateway.problem, gateway.host)
    if gateway.host != host:
        return Exclusion(ExclusionReason.GATEWAY_MALFORMED, f"{host} in gatewayHost")
    address = _ipv4(ip)
    if address is None:
        return Exclusion(ExclusionReason.GATEWAY_UNRESOLVED, gateway.host)
    if not is_routable(address):
        return Exclusion(ExclusionReason.GATEWAY_NOT_ROUTABLE, ip)
    return None


def is_routable(address: IPv4Address | IPv6Address) -> bool:
    """Tell whether an address can lead from one cluster to another. Of IPv6 the data path takes some."""
    if gives_credentials(address):
        return False
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _UNROUTABLE)
    # What is mapped from IPv4 is reserved, and so is loopback.
    special = (address.is_unspecified, address.is_reserved, address.is_multicast, address.is_link_local)
    return not any(special)


def gives_credentials(address: IPv4Address | IPv6Address) -> bool:
    """Tell whether a cloud gives a node its credentials at an address, for who asks from the node."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address in _METADATA or (mapped or address) in _METADATA_NETWORK


def routable(addresses: Iterable[str]) -> frozenset[str]:
    """Return the addresses that can lead from one cluster to another."""
    return frozenset(a for a in addresses if (address := _ipv4(a)) is not None and is_routable(address))


def why_not_host(host: str) -> ExclusionReason | None:
    """Return what is wrong with the host of a gateway, without a port; None if it is good."""
    return _problem_of_text(host) or _problem_of_host(host)


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
    address, name = _ipv4(host), host.lower().removesuffix(".")
    if address is not None:
        return None if is_routable(address) else ExclusionReason.GATEWAY_NOT_ROUTABLE
    if name.rpartition(".")[2].isdigit() or len(name) > _MAX_NAME_CHARACTERS or not _DNS_NAME.fullmatch(name):
        return ExclusionReason.GATEWAY_MALFORMED
    return ExclusionReason.GATEWAY_NOT_ROUTABLE if _LOCALHOST.fullmatch(name) else None


def _is_port(digits: str) -> bool:
    return _PORT.fullmatch(digits) is not None and 1 <= int(digits) <= MAX_PORT


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

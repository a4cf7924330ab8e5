"""The inventory: members as Karmada knows them, and the flomesh Clusters that say where gateways are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import AddressValueError, IPv4Address

from pydantic import StrictInt

from towpath.model.base import Model
from towpath.model.keys import DEFAULT, Dialect, cluster_key

GROUP_ANNOTATION = "towpath.io/group"
GATEWAY_ANNOTATION = "towpath.io/gateway"
GATEWAY_ROUTE_ANNOTATION = "towpath.io/gateway-route"
DRAIN_ANNOTATION = "towpath.io/drain"
DATA_PATH_LABEL, DATA_PATH_NET = "towpath.io/data-path", "net"
"""On a Karmada Cluster: the member has the data path. A label, because policies select members by labels."""
DEFAULT_GATEWAY_PORT = 80


class FlomeshCluster(Model):
    """Spec of a flomesh ``Cluster``: the walk-through's way to name a member's gateway.

    Its kubeconfig is not read: Towpath never talks to a member.
    """

    region: str = DEFAULT
    zone: str = DEFAULT
    group: str = DEFAULT
    gateway_host: str = ""
    gateway_port: StrictInt = DEFAULT_GATEWAY_PORT


class Member(Model):
    """A member cluster of Karmada, with all that a derivation needs of it.

    ``gateway_host`` is empty when nothing names a gateway, and the text that was read when that cannot be
    used. ``resolved`` is the IPv4 address last found for it if it is a DNS name. ``imports`` holds the
    dialects whose ServiceImport the member serves.
    ``gateway_route`` is the text that says which gateway of its own gets routes, empty without one;
    ``serves_routes``: the member serves the kind of these routes, as far as Karmada knows.
    ``data_path``: towpath-net carries its calls to other clusters.
    ``uid`` is the identity of the cluster itself (``spec.id``), the same under whatever name it is joined.
    ``unreachable_since`` is the time (seconds since 1970) at which Karmada lost it; None while it is
    Ready, and while Karmada does not know yet. ``ready_since`` is the time at which it became Ready, None
    while it is not.
    """

    name: str
    region: str = DEFAULT
    zone: str = DEFAULT
    group: str = DEFAULT
    gateway_host: str = ""
    gateway_port: int = DEFAULT_GATEWAY_PORT
    resolved: str = ""
    gateway_route: str = ""
    serves_routes: bool = True
    imports: frozenset[Dialect] = frozenset()
    drained: bool = False
    data_path: bool = False
    unreachable_since: float | None = None
    ready_since: float | None = None
    uid: str = ""

    @cached_property
    def key(self) -> str:
        """The member's cluster key."""
        return cluster_key(self.region, self.zone, self.group, self.name)

    @cached_property
    def gateway_ip(self) -> str:
        """The IPv4 address that other clusters connect to, empty if there is none."""
        for text in (self.gateway_host, self.resolved):
            try:
                return str(IPv4Address(text))
            except AddressValueError:
                continue
        return ""


def changed(member: Member, **fields: object) -> Member:
    """Return a member that differs in these fields. (A copy would keep what it had worked out before.)"""
    return Member.model_validate({**member.model_dump(), **fields})


@dataclass(frozen=True)
class Fleet:
    """All members, with what every derivation asks of them as a whole."""

    members: Mapping[str, Member]

    @cached_property
    def importers(self) -> Mapping[Dialect, tuple[str, ...]]:
        """Names of the members that serve a dialect's ServiceImport, sorted."""
        names = sorted(self.members)
        return {d: tuple(n for n in names if d in self.members[n].imports) for d in Dialect}

    @cached_property
    def with_data_path(self) -> frozenset[str]:
        """Names of the members that have the data path."""
        return frozenset(name for name, member in self.members.items() if member.data_path)

    @cached_property
    def joined_twice(self) -> tuple[tuple[str, ...], ...]:
        """Names of the members that are one and the same cluster, sorted."""
        names: dict[str, list[str]] = {}
        for name in sorted(self.members):
            if uid := self.members[name].uid:
                names.setdefault(uid, []).append(name)
        return tuple(tuple(same) for same in names.values() if len(same) > 1)

    @cached_property
    def keys(self) -> frozenset[str]:
        """The cluster key of every member."""
        return frozenset(member.key for member in self.members.values())

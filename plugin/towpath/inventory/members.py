"""The members in memory: Karmada's Clusters, flomesh Clusters of the same names, gateways' addresses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from towpath.inventory.gateway_dns import Lookup
from towpath.karmada import decode, resources
from towpath.karmada.client import Client
from towpath.karmada.decode import StoredMember
from towpath.karmada.reflector import Name, Reflector
from towpath.model.cluster import Member, changed
from towpath.model.keys import Dialect, GatewayKey
from towpath.propagation.policies import Target
from towpath.rules.gateway import is_dns_name, with_flomesh_cluster


class Members:
    """What Karmada and flomesh Clusters say of the members.

    ``put`` is given all of them whenever one changes, ``retargeted`` hears when one has become another to
    policies, and ``touch`` when a flomesh Cluster's status may have to change. ``remembered`` says which
    address a name had before this process.
    """

    def __init__(
        self,
        client: Client,
        put: Callable[[Mapping[str, Member]], None],
        retargeted: Callable[[], None],
        touch: Callable[[GatewayKey], None],
        remembered: Callable[[str], str],
    ) -> None:
        self._put, self._retargeted, self._touch = put, retargeted, touch
        self._members: dict[str, Member] = {}
        self.targets: dict[str, Target] = {}
        self.lookup = Lookup(self._addresses_changed, remembered)
        self.clusters = Reflector(client, resources.CLUSTERS, decode.karmada_cluster, self._cluster_changed)
        self.flomesh_clusters = {
            d: Reflector(
                client,
                resources.flomesh_clusters(d),
                decode.flomesh_cluster,
                self._gateway_changed,
            )
            for d in Dialect
        }

    @property
    def reflectors(self) -> list[Reflector[Any]]:
        """Every reflector."""
        return [self.clusters, *self.flomesh_clusters.values()]

    def _member(self, member: Member) -> Member:
        """Return a member with the gateway that its flomesh Cluster gives it, and that one's address."""
        for clusters in self.flomesh_clusters.values():
            stored = clusters.get(member.name)
            if stored is not None:
                member = with_flomesh_cluster(member, stored.cluster)
                break
        address = self.lookup.address(member.gateway_host)
        return changed(member, resolved=address) if address else member

    def _cluster_changed(self, name: Name, _: StoredMember | None, new: StoredMember | None) -> None:
        before = self.targets.pop(name.name, None)
        if new is not None:
            self.targets[name.name] = new.target
        if before != self.targets.get(name.name):
            self._retargeted()
        self._member_changed(name.name)

    def _gateway_changed(self, name: Name, *_: object) -> None:
        self._member_changed(name.name)

    def _member_changed(self, name: str) -> None:
        stored = self.clusters.get(name)
        members = {n: m for n, m in self._members.items() if n != name}
        if stored is not None:
            members[name] = self._member(stored.member)
        self._changed(members)
        for dialect, clusters in self.flomesh_clusters.items():
            if clusters.get(name) is not None:
                self._touch(GatewayKey(dialect, name))

    def _addresses_changed(self) -> None:
        stored = self.clusters.items().values()
        self._changed({one.member.name: self._member(one.member) for one in stored})

    def _changed(self, members: dict[str, Member]) -> None:
        self._members = members
        hosts = (member.gateway_host for member in members.values())
        self.lookup.want({host for host in hosts if is_dns_name(host)})
        self._put(members)

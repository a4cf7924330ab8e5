"""The members: Karmada Clusters, the flomesh Clusters of the same names, and the addresses of gateways."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from towpath.inventory.gateway_dns import GatewayResolver
from towpath.inventory.watched import Watched
from towpath.model.cluster import Member, changed
from towpath.rules.gateway import is_dns_name, with_flomesh_cluster


class Members:
    """What Karmada Clusters and flomesh Clusters say of the members. ``put`` receives all members after a
    change.

    ``remembered`` returns the address that a host name had before this process started.
    """

    def __init__(
        self,
        watched: Watched,
        put: Callable[[Mapping[str, Member]], None],
        remembered: Callable[[str], str],
    ) -> None:
        self._watched, self._put = watched, put
        self._members: dict[str, Member] = {}
        self.resolver = GatewayResolver(self.refresh, remembered)

    def update(self, name: str) -> None:
        """Apply a change of a Cluster or of the flomesh Cluster of its name."""
        stored = self._watched.clusters.get(name)
        members = {n: m for n, m in self._members.items() if n != name}
        if stored is not None:
            members[name] = self._member(stored.member)
        self._replace(members)

    def refresh(self) -> None:
        """Apply a change of addresses."""
        stored = self._watched.clusters.items().values()
        self._replace({cluster.member.name: self._member(cluster.member) for cluster in stored})

    def _member(self, member: Member) -> Member:
        """Return a member with the gateway of its flomesh Cluster, if it has one, and the gateway's
        address."""
        for clusters in self._watched.flomesh_clusters.values():
            stored = clusters.get(member.name)
            if stored is not None:
                member = with_flomesh_cluster(member, stored.cluster)
                break
        address = self.resolver.address(member.gateway_host)
        return changed(member, resolved=address) if address else member

    def _replace(self, members: dict[str, Member]) -> None:
        self._members = members
        hosts = (member.gateway_host for member in members.values())
        self.resolver.want({host for host in hosts if is_dns_name(host)})
        self._put(members)

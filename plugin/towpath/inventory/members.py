"""The members: Karmada Clusters, the flomesh Clusters of the same names, and the addresses of gateways."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from towpath.inventory.gateway_dns import GatewayResolver
from towpath.inventory.losses import Losses
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
        losses: Losses | None = None,
    ) -> None:
        self._watched, self._put = watched, put
        self._members: dict[str, Member] = {}
        self.resolver = GatewayResolver(self.refresh, remembered)
        self._losses = losses or Losses()

    def update(self, name: str) -> None:
        """Apply a change of a Cluster or of the flomesh Cluster of its name."""
        stored = self._watched.clusters.get(name)
        members = {n: m for n, m in self._members.items() if n != name}
        if stored is not None:
            members[name] = self._member(stored.member)
        else:
            self._losses.since(name, None)
        self._replace(members)

    async def complete(self) -> None:
        """All members are listed: resolve the names of their gateways."""
        self._losses.begin()
        await self.resolver.refresh(all_=False)

    def time_passed(self, now: float) -> None:
        """Apply a change of the wall clock, which says ``now`` (seconds since 1970)."""
        if self._losses.is_moved(now):
            self.refresh()

    def refresh(self) -> None:
        """Apply a change of addresses or of the clock."""
        stored = self._watched.clusters.items().values()
        self._replace({cluster.member.name: self._member(cluster.member) for cluster in stored})

    def _member(self, member: Member) -> Member:
        """Return a member with the gateway of its flomesh Cluster, if it has one, the gateway's address, and
        since when it counts as lost."""
        for clusters in self._watched.flomesh_clusters.values():
            stored = clusters.get(member.name)
            if stored is not None:
                member = with_flomesh_cluster(member, stored.cluster)
                break
        known: dict[str, object] = {}
        if address := self.resolver.address(member.gateway_host):
            known["resolved"] = address
        since = self._losses.since(member.name, member.unreachable_since)
        if since != member.unreachable_since:
            known["unreachable_since"] = since
        return changed(member, **known) if known else member

    def _replace(self, members: dict[str, Member]) -> None:
        self._members = members
        hosts = (member.gateway_host for member in members.values())
        self.resolver.want({host for host in hosts if is_dns_name(host)})
        self._put(members)

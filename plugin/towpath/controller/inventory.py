"""The world in memory: reflectors for all that a derivation reads, and which service each change touches.

A service is touched by its export, its Service, the bindings of both and the objects derived from it;
a change of a member or of a flomesh Cluster touches every service.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from towpath.karmada import decode, resources
from towpath.karmada.client import Client
from towpath.karmada.decode import Binding, StoredExport
from towpath.karmada.reflector import Name, Reflector
from towpath.model.cluster import Member
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.world import ExportedService, Offer
from towpath.render import MANAGED_BY, service_of_policy
from towpath.rules.gateway import with_flomesh_cluster

Touch = Callable[[ServiceKey], None]
_OURS = ",".join(f"{label}={value}" for label, value in MANAGED_BY.items())


class Inventory:
    """What Karmada's apiserver holds, as far as it matters. ``touch`` hears of every service touched."""

    def __init__(self, client: Client, touch: Touch) -> None:
        self._touch = touch
        self._members: Mapping[str, Member] | None = None
        self.clusters = Reflector(client, resources.CLUSTERS, decode.member, self._fleet_changed)
        self.services = Reflector(client, resources.SERVICES, decode.service, self._named_changed)
        self.bindings = Reflector(client, resources.BINDINGS, decode.binding, self._binding_changed)
        self.flomesh_clusters = {
            d: Reflector(client, resources.flomesh_clusters(d), decode.flomesh_cluster, self._fleet_changed)
            for d in Dialect
        }
        self.exports = {
            d: Reflector(client, resources.service_exports(d), decode.service_export, self._named_changed)
            for d in Dialect
        }
        self.imports = {
            d: Reflector(client, resources.service_imports(d), decode.whole, self._named_changed)
            for d in Dialect
        }
        self.propagation = Reflector(
            client, resources.PROPAGATION_POLICIES, decode.whole, self._policy_changed, selector=_OURS
        )
        self.overrides = Reflector(
            client, resources.OVERRIDE_POLICIES, decode.whole, self._policy_changed, selector=_OURS
        )

    @property
    def reflectors(self) -> list[Reflector[Any]]:
        """Every reflector."""
        return [
            self.clusters,
            *self.flomesh_clusters.values(),
            *self.exports.values(),
            *self.imports.values(),
            self.services,
            self.bindings,
            self.propagation,
            self.overrides,
        ]

    async def synced(self) -> None:
        """Wait until everything has been listed once."""
        await asyncio.gather(*(reflector.synced.wait() for reflector in self.reflectors))

    def exported_keys(self) -> list[ServiceKey]:
        """Return the name of every exported service."""
        return [
            ServiceKey(dialect, *name)
            for dialect, exports in self.exports.items()
            for name in exports.items()
        ]

    @property
    def members(self) -> Mapping[str, Member]:
        """The members, each with the gateway that its flomesh Cluster gives it."""
        if self._members is None:
            self._members = {name.name: self._member(m) for name, m in self.clusters.items().items()}
        return self._members

    def _member(self, member: Member) -> Member:
        for clusters in self.flomesh_clusters.values():
            cluster = clusters.get(member.name)
            if cluster is not None:
                return with_flomesh_cluster(member, cluster)
        return member

    def exported(self, key: ServiceKey) -> ExportedService | None:
        """Return one service as the members see it; None if it is not exported.

        Two dialects cannot share a name: Karmada's bindings ignore the API group (facts T1), and so would
        our policies. The older export counts.
        """
        stored = self.exports[key.dialect].get(key.name, key.namespace)
        if stored is None or any(_older(other, stored) for other in self._namesakes(key)):
            return None
        bound = self._bound(key.dialect.api_version, "ServiceExport", key, stored.uid)
        service = self.services.get(key.name, key.namespace)
        served = self._bound("v1", "Service", key, service.uid) if service else frozenset()
        offers = {
            cluster: Offer(stored.export, service.service if service and cluster in served else None)
            for cluster in bound
        }
        return ExportedService(key, stored.uid, offers)

    def _namesakes(self, key: ServiceKey) -> Iterator[StoredExport]:
        for dialect, exports in self.exports.items():
            other = exports.get(key.name, key.namespace)
            if dialect is not key.dialect and other is not None:
                yield other

    def _bound(self, api_version: str, kind: str, key: ServiceKey, uid: str) -> frozenset[str]:
        """Return the clusters a template is bound to.

        The binding is found by Karmada's name for it (pkg/util/names), which two groups share: what it
        says of its template decides whether it is the one.
        """
        binding = self.bindings.get(f"{key.name}-{kind.lower()}", key.namespace)
        if binding is None or (binding.api_version, binding.kind, binding.uid) != (api_version, kind, uid):
            return frozenset()
        return binding.clusters

    def _fleet_changed(self, *_: object) -> None:
        self._members = None
        for key in self.exported_keys():
            self._touch(key)

    def _touch_dialects(self, namespace: str, name: str) -> None:
        for dialect in Dialect:
            self._touch(ServiceKey(dialect, namespace, name))

    def _named_changed(self, name: Name, *_: object) -> None:
        self._touch_dialects(*name)

    def _binding_changed(self, name: Name, old: Binding | None, new: Binding | None) -> None:
        binding = new or old
        if binding is not None:
            self._touch_dialects(name.namespace, name.name.removesuffix(f"-{binding.kind.lower()}"))

    def _policy_changed(self, name: Name, *_: object) -> None:
        service = service_of_policy(name.name)
        if service is not None:
            self._touch_dialects(name.namespace, service)


def _older(one: StoredExport, other: StoredExport) -> bool:
    return (one.created, one.uid) < (other.created, other.uid)

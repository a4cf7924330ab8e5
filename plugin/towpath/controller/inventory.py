"""The world in memory: reflectors for all that a derivation reads, and which service each change touches.

A service is touched by its export, its Service, the bindings of both and the objects derived from it.
What a change means for other services, of a member above all, ``incremental`` knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from towpath.incremental import Incremental
from towpath.karmada import decode, resources
from towpath.karmada.client import Client
from towpath.karmada.decode import Binding, StoredExport
from towpath.karmada.reflector import Name, Reflector
from towpath.model.cluster import Member
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.world import ExportedService, Offer
from towpath.propagation.claims import Claim
from towpath.propagation.selection import Template
from towpath.render import MANAGED_BY, service_of_policy
from towpath.rules.gateway import with_flomesh_cluster

Touch = Callable[[ServiceKey], None]
_OURS = ",".join(f"{label}={value}" for label, value in MANAGED_BY.items())


class Inventory:
    """What Karmada's apiserver holds, as far as it matters. ``touch`` hears of every service touched.

    ``returned`` hears of members that are reached again.

    ``world`` is made of it, with the derivation of every service.
    """

    def __init__(self, client: Client, touch: Touch, returned: Callable[[], None] = lambda: None) -> None:
        self._touch = touch
        self._returned = returned
        self.world = Incremental()
        self.reporting = False
        """Whether any member has ever said what it holds: else nothing lets Karmada reflect it."""
        self.clusters = Reflector(client, resources.CLUSTERS, decode.member, self._fleet_changed)
        self.services = Reflector(client, resources.SERVICES, decode.service, self._service_changed)
        self.bindings = Reflector(client, resources.BINDINGS, decode.binding, self._binding_changed)
        self.flomesh_clusters = {
            d: Reflector(client, resources.flomesh_clusters(d), decode.flomesh_cluster, self._fleet_changed)
            for d in Dialect
        }
        self.exports = {
            d: Reflector(client, resources.service_exports(d), decode.service_export, self._service_changed)
            for d in Dialect
        }
        self.imports = {
            d: Reflector(
                client, resources.service_imports(d), decode.whole, self._import_changed, as_bytes=True
            )
            for d in Dialect
        }
        self.propagation = Reflector(
            client,
            resources.PROPAGATION_POLICIES,
            decode.whole,
            self._policy_changed,
            selector=_OURS,
            as_bytes=True,
        )
        self.overrides = Reflector(
            client,
            resources.OVERRIDE_POLICIES,
            decode.whole,
            self._policy_changed,
            selector=_OURS,
            as_bytes=True,
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

    def _member(self, member: Member) -> Member:
        """Return a member with the gateway that its flomesh Cluster gives it."""
        for clusters in self.flomesh_clusters.values():
            cluster = clusters.get(member.name)
            if cluster is not None:
                return with_flomesh_cluster(member, cluster)
        return member

    def _exported(self, key: ServiceKey) -> ExportedService | None:
        """Return one service as the members see it; None if it is not exported."""
        stored = self.exports[key.dialect].get(key.name, key.namespace)
        return None if stored is None else self.exported(key, stored)

    def exported(self, key: ServiceKey, stored: StoredExport) -> ExportedService:
        """Return one service as the members see it, with this as its export."""
        binding = self._binding(key.dialect.api_version, "ServiceExport", key, stored.uid)
        service = self.services.get(key.name, key.namespace)
        serving = self._binding("v1", "Service", key, service.uid).clusters if service else frozenset()
        absent = Offer(stored.export, None)
        there = Offer(stored.export, service.service, service.going) if service else absent
        offers = {c: there if c in serving else absent for c in binding.clusters}
        for cluster, why in binding.reported.items():
            if cluster in offers:
                offers[cluster] = replace(offers[cluster], refused=why)
        return ExportedService(
            key,
            stored.uid,
            offers,
            created=stored.created,
            annotations=stored.annotations,
            serving=serving,
        )

    def held(self, key: ServiceKey) -> Mapping[str, str]:
        """Return the digest of the view that each cluster holds, as far as it has reported one."""
        template = self.imports[key.dialect].get(key.name, key.namespace)
        if template is None:
            return {}
        uid = template["metadata"]["uid"]
        return self._binding(key.dialect.api_version, "ServiceImport", key, uid).reported

    def reach(self, kind: str, key: ServiceKey, uid: str) -> frozenset[str]:
        """Return the clusters that an object of a dialect is bound to."""
        return self._binding(key.dialect.api_version, kind, key, uid).clusters

    def claimed_by(self, claim: Claim) -> list[Template]:
        """Return the exports, and the Services behind exports, that a policy has claimed."""
        found: dict[tuple[str, ...], Template] = {}
        for key in self.world.services:
            if claim.namespace in {"", key.namespace}:
                export = self.exports[key.dialect].get(key.name, key.namespace)
                service = self.services.get(key.name, key.namespace)
                for stored, version, kind in (
                    (export, key.dialect.api_version, "ServiceExport"),
                    (service, "v1", "Service"),
                ):
                    if stored is not None and stored.claim == claim:
                        one = Template(version, kind, key.namespace, key.name, stored.labels)
                        found[version, kind, *key[1:]] = one
        return list(found.values())

    def _binding(self, api_version: str, kind: str, key: ServiceKey, uid: str) -> Binding:
        """Return the binding of a template; one without clusters if there is none.

        It is found by Karmada's name for it (pkg/util/names), which two groups share: what it says of its
        template decides whether it is the one.
        """
        binding = self.bindings.get(f"{key.name}-{kind.lower()}", key.namespace)
        if binding is None or (binding.api_version, binding.kind, binding.uid) != (api_version, kind, uid):
            return Binding(api_version, kind, uid, frozenset())
        return binding

    @property
    def lost(self) -> frozenset[str]:
        """The members that Karmada can't reach."""
        members = self.world.fleet.members
        return frozenset(name for name, m in members.items() if m.unreachable_since is not None)

    def _fleet_changed(self, *_: object) -> None:
        lost = self.lost
        members = {name.name: self._member(member) for name, member in self.clusters.items().items()}
        for key in self.world.put_members(members):
            self._touch(key)
        if lost - self.lost:
            self._returned()

    def _changed(self, namespace: str, name: str) -> None:
        for dialect in Dialect:
            key = ServiceKey(dialect, namespace, name)
            for touched in self.world.put_service(key, self._exported(key)):
                self._touch(touched)

    def _service_changed(self, name: Name, *_: object) -> None:
        self._changed(*name)

    def _binding_changed(self, name: Name, old: Binding | None, new: Binding | None) -> None:
        binding = new or old
        if binding is None:
            return
        service = Name(name.namespace, name.name.removesuffix(f"-{binding.kind.lower()}"))
        if binding.kind == "ServiceImport":
            self.reporting = self.reporting or bool(binding.reported)
            self._import_changed(service)
        else:
            self._changed(*service)

    def _import_changed(self, name: Name, *_: object) -> None:
        for dialect in Dialect:
            self._touch(ServiceKey(dialect, *name))

    def _policy_changed(self, name: Name, *_: object) -> None:
        service = service_of_policy(name.name)
        if service is not None:
            self._import_changed(Name(name.namespace, service))

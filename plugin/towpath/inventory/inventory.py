"""The world in memory: applies each change that a reflector sees, and touches the services that it concerns.

The table in ``watched`` names the effect of each kind; the effects are the methods below. A service is
touched by its export, its traffic policy, its Service, the bindings of these, and the objects derived from
it; a user's policy touches the services of its namespace. What a change means for further services, of a
member above all, ``index`` knows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from towpath.derivation.index import Incremental
from towpath.inventory.members import Members
from towpath.inventory.offers import offers_of
from towpath.inventory.policies import PoliciesByNamespace, is_selected
from towpath.inventory.watched import Watched
from towpath.karmada import decode
from towpath.karmada.client import Client
from towpath.karmada.decode import (
    Binding,
    Copies,
    StoredCluster,
    StoredExport,
    StoredMember,
    StoredNamespace,
    StoredService,
    StoredTraffic,
)
from towpath.karmada.reflector import Name
from towpath.model.cluster import Member
from towpath.model.keys import Dialect, GatewayKey, ServiceKey
from towpath.model.ownership import followed_service, imported_service
from towpath.model.world import AppliedPolicy, ExportedService
from towpath.propagation.claims import Claim
from towpath.propagation.policies import OverridePolicy, Policy, Target
from towpath.propagation.selection import Template

Due = ServiceKey | GatewayKey
"""What a change touches, and the controller then reconciles."""
CHANGE_WINDOW_SECONDS = 10.0
"""Changes of a service within this time count as one: Karmada binds what a user has applied."""


class Inventory:
    """What the Karmada apiserver holds, as far as it matters, and ``world``, the derivation of every service.

    ``enqueue`` receives everything that a change touches; ``returned`` is called when a lost member is
    reachable again.
    """

    def __init__(
        self, client: Client, enqueue: Callable[[Due], None], returned: Callable[[], None] = lambda: None
    ) -> None:
        self._enqueue, self._returned = enqueue, returned
        self.world = Incremental()
        self.lost: frozenset[str] = frozenset()
        """The members that Karmada cannot reach."""
        self.changed_at: dict[ServiceKey, float] = {}
        """When each service began to change (seconds since 1970), until a pass takes the change up."""
        self.exporting: dict[ServiceKey, frozenset[str]] = {}
        """The clusters whose endpoints each derived ServiceImport holds: they have had both objects."""
        self.reflecting = False
        """Whether any member has ever reported a digest: without the interpreter none does."""
        self.numbered: dict[Name, frozenset[str]] = {}
        """The derived OverridePolicies after the first, of the few services that have several."""
        self._user_policies = PoliciesByNamespace[Policy]()
        self._user_overrides = PoliciesByNamespace[OverridePolicy]()
        self._named: dict[str, dict[ServiceKey, int]] = {}
        self._targets: dict[str, Target] = {}
        self.watched = Watched(client, self)
        self.members = Members(self.watched, self._put_members, self._address_in_imports)

    async def synced(self) -> None:
        """Wait until every kind has been listed once and the names of gateways have been resolved."""
        await self.watched.synced()
        await self.members.resolver.refresh(all_=False)

    @property
    def missing_inputs(self) -> tuple[str, ...]:
        """What cannot be missing where a ServiceImport exists: kinds whose last list was empty, and
        gateways."""
        missing = [f"no {kind}" for kind in self.watched.empty_kinds]
        if not any(member.gateway_host for member in self.world.fleet.members.values()):
            missing.append("no gateway of any cluster")
        return tuple(missing)

    # --- what the objects say of one service

    def exported(
        self, key: ServiceKey, stored: StoredExport, copies: Copies | None = None
    ) -> ExportedService:
        """Return one service as the members see it, with this as its export.

        ``copies`` is what members report of the export, if that is newer than its binding.
        """
        watched = self.watched
        binding = watched.binding_of(key.dialect.api_version, "ServiceExport", key, stored.uid)
        if copies is not None:
            binding = binding._replace(copies=copies)
        service = watched.services.get(key.name, key.namespace)
        bound = watched.binding_of("v1", "Service", key, service.uid) if service else None
        serving = bound.clusters if bound else frozenset()
        overrides = [*self._user_overrides.of(key.namespace)] if self._user_overrides else []
        exporting = self.exporting.get(key, frozenset())
        offers, faults = offers_of(key, stored, binding, service, bound, overrides, self._targets, exporting)
        return ExportedService(
            key,
            stored.uid,
            offers,
            created=stored.created,
            annotations=stored.annotations,
            serving=serving,
            selected=self._is_selected(key, "ServiceExport", stored.labels),
            taken_by=watched.taken_by(key, "ServiceExport"),
            frozen=service is not None and bound is not None and _is_frozen(service, bound),
            faults=faults,
            namespaced=self._namespaced(key.namespace, binding, bound),
            has_service=service is not None,
            service_selected=service is not None and self._is_service_selected(key, service),
        )

    def applied(self, key: ServiceKey, stored: StoredTraffic) -> AppliedPolicy:
        """Return the traffic policy of a service, with this as its template."""
        bound = self.watched.binding_of(key.dialect.api_version, "GlobalTrafficPolicy", key, stored.uid)
        selected = self._is_selected(key, "GlobalTrafficPolicy", stored.labels)
        return AppliedPolicy(key, stored.uid, stored.policy, bound.clusters, selected)

    def services_of(self, claim: Claim) -> Iterator[Template]:
        """Yield the Services behind exports that a policy has claimed."""
        for namespace, name in {(key.namespace, key.name) for key in self.world.services}:
            if claim.namespace not in {"", namespace}:
                continue
            stored = self.watched.services.get(name, namespace)
            if stored is not None and stored.claim == claim:
                yield Template("v1", "Service", namespace, name, stored.labels)

    def _is_service_selected(self, key: ServiceKey, service: StoredService) -> bool:
        template = Template("v1", "Service", key.namespace, key.name, service.labels)
        return service.claim is not None or is_selected(self._user_policies, template)

    def _namespaced(self, namespace: str, *bindings: Binding | None) -> frozenset[str] | None:
        """Return the clusters that have a namespace; None for all, and while that is not known.

        A namespace that Karmada does not propagate by itself is where a policy sends it, and where objects of
        these bindings were applied.
        """
        stored = self.watched.namespaces.get(namespace)
        binding = decode.binding_name(namespace, "Namespace")
        clusters = self.watched.namespace_bindings.get(binding) if stored and stored.skipped else None
        if clusters is None:
            return None
        return clusters.union(*(bound.copies.applied for bound in bindings if bound))

    def _is_selected(self, key: ServiceKey, kind: str, labels: Mapping[str, str]) -> bool:
        template = Template(key.dialect.api_version, kind, key.namespace, key.name, labels)
        return is_selected(self._user_policies, template)

    def _address_in_imports(self, host: str) -> str:
        """Return the address that a host has in the ServiceImports that exist."""
        for imports in self.watched.imports.values():
            for obj in imports.items().values():
                for target in _targets_in(obj):
                    if target.get("host") == host and isinstance(target.get("ip"), str):
                        return str(target["ip"])
        return ""

    # --- effects: the third column of the table in ``watched``

    def namespace_changed(self, name: Name, old: StoredNamespace | None, new: StoredNamespace | None) -> None:
        """Touch every service of a namespace that is propagated in another way.

        The deletion of a namespace touches nothing: the end of each object in it is a change of its own.
        """
        if (old and old.skipped) != (new and new.skipped):
            self._all_changed(name.name)

    def namespace_binding_changed(
        self, name: Name, old: frozenset[str] | None, new: frozenset[str] | None
    ) -> None:
        """Touch every service of the namespace that is bound."""
        self._all_changed(name.name.removesuffix(decode.binding_name("", "Namespace")))

    def cluster_changed(self, name: Name, old: StoredMember | None, new: StoredMember | None) -> None:
        """Touch the services that the member exports or imports; all of them if overrides may match it
        anew."""
        target = self._targets.pop(name.name, None)
        if new is not None:
            self._targets[name.name] = new.target
        if target != self._targets.get(name.name) and self._user_overrides:
            self._all_changed()
        self._member_changed(name.name)

    def flomesh_cluster_changed(
        self, dialect: Dialect, name: Name, old: StoredCluster | None, new: StoredCluster | None
    ) -> None:
        """Touch what the member of the same name touches, and the flomesh Cluster itself."""
        self._member_changed(name.name)

    def export_changed(
        self, dialect: Dialect, name: Name, old: StoredExport | None, new: StoredExport | None
    ) -> None:
        """Touch the service, and those that claim the same name or path."""
        self._count(ServiceKey(dialect, *name), (new is not None) - (old is not None))
        self._service_changed(*name)

    def traffic_changed(
        self, dialect: Dialect, name: Name, old: StoredTraffic | None, new: StoredTraffic | None
    ) -> None:
        """Touch the service."""
        key = ServiceKey(dialect, *name)
        self._count(key, (new is not None) - (old is not None))
        self._service_changed(*name)
        self._enqueue(key)

    def service_changed(self, name: Name, old: StoredService | None, new: StoredService | None) -> None:
        """Touch the service of each dialect, and those that claim the same path."""
        self._service_changed(*name)

    def binding_changed(self, name: Name, old: Binding | None, new: Binding | None) -> None:
        """Touch the service whose template is bound; a ServiceImport's binding changes no derivation."""
        binding = new or old
        if binding is None:
            return
        service = Name(name.namespace, name.name.removesuffix(decode.binding_name("", binding.kind)))
        if binding.kind == "ServiceImport":
            self.reflecting = self.reflecting or bool(binding.copies.reported)
            self._touch(service)
        else:
            self._service_changed(*service)

    def import_changed(
        self, dialect: Dialect, name: Name, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None
    ) -> None:
        """Touch the service that the import belongs to."""
        key = ServiceKey(dialect, *name)
        was = self.exporting.pop(key, frozenset())
        if exporting := decode.exporting(new):
            self.exporting[key] = exporting
        service = self.world.services.get(key)
        if (
            was != exporting
            and service
            and (service.faults or any(o.absence for o in service.offers.values()))
        ):
            self._service_changed(*name)
        self._touch(name)

    def derived_policy_changed(
        self, name: Name, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None
    ) -> None:
        """Touch the service that the policy belongs to."""
        service = imported_service(name.name)
        if service is not None and "." in name.name:
            self._number(Name(name.namespace, service), name.name, exists=new is not None)
        service = service or followed_service(name.name)
        if service is not None:
            self._touch(Name(name.namespace, service))

    def user_policy_changed(self, name: Name, old: Policy | None, new: Policy | None) -> None:
        """Touch every service of the namespace; every service if the policy has no namespace."""
        self._user_policies.put(name, new)
        self._all_changed(name.namespace)

    def user_override_changed(
        self, name: Name, old: OverridePolicy | None, new: OverridePolicy | None
    ) -> None:
        """Touch every service of the namespace; every service if the policy has no namespace."""
        self._user_overrides.put(name, new)
        self._all_changed(name.namespace)

    # --- what effects have in common

    def _put_members(self, members: Mapping[str, Member]) -> None:
        was = self.lost
        self.lost = frozenset(name for name, m in members.items() if m.unreachable_since is not None)
        self._changed(self.world.put_members(members))
        if was - self.lost:
            self._returned()

    def _member_changed(self, name: str) -> None:
        self.members.update(name)
        for dialect, clusters in self.watched.flomesh_clusters.items():
            if clusters.get(name) is not None:
                self._enqueue(GatewayKey(dialect, name))

    def _service_changed(self, namespace: str, name: str) -> None:
        for dialect in Dialect:
            key = ServiceKey(dialect, namespace, name)
            export = self.watched.exports[dialect].get(name, namespace)
            policy = self.watched.traffic[dialect].get(name, namespace)
            self._changed(
                self.world.put_service(
                    key, self.exported(key, export) if export and not export.deleting else None
                )
            )
            for touched in self.world.put_policy(key, self.applied(key, policy) if policy else None):
                self._enqueue(touched)

    def _all_changed(self, namespace: str = "") -> None:
        """Read anew what is exported or has a traffic policy, in one namespace or in all."""
        groups = [self._named.get(namespace, {})] if namespace else self._named.values()
        for namespace_, name in {(key.namespace, key.name) for keys in groups for key in keys}:
            self._service_changed(namespace_, name)

    def _changed(self, touched: Iterable[ServiceKey]) -> None:
        now = time.time()
        for key in touched:
            if now - self.changed_at.get(key, 0.0) > CHANGE_WINDOW_SECONDS:
                self.changed_at[key] = now
            self._enqueue(key)

    def _touch(self, name: Name) -> None:
        for dialect in Dialect:
            self._enqueue(ServiceKey(dialect, *name))

    def _count(self, key: ServiceKey, difference: int) -> None:
        """Count the exports and traffic policies of a service: those are the services that policies
        concern."""
        keys = self._named.setdefault(key.namespace, {})
        keys[key] = keys.get(key, 0) + difference
        if not keys[key]:
            del keys[key]
        if not keys:
            del self._named[key.namespace]

    def _number(self, service: Name, policy: str, *, exists: bool) -> None:
        others = self.numbered.pop(service, frozenset()) - {policy}
        if names := others | {policy} if exists else others:
            self.numbered[service] = names


def _is_frozen(service: StoredService, bound: Binding) -> bool:
    """Tell whether members have a Service that no policy selects any more (frozen templates)."""
    return bool(bound.clusters) and not (service.claim or service.going or bound.attached)


def _targets_in(obj: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the targets of a ServiceImport's endpoints. The object may be anything that its CRD allows."""
    for port in obj.get("spec", {}).get("ports") or ():
        for endpoint in port.get("endpoints") or ():
            yield endpoint.get("target") or {}

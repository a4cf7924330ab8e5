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

import msgspec

from towpath.derivation.index import Incremental
from towpath.inventory.members import Members
from towpath.inventory.names import ServiceNames
from towpath.inventory.policies import P, PoliciesByNamespace, UserPolicies
from towpath.inventory.services import Services
from towpath.inventory.watched import Watched
from towpath.karmada import decode
from towpath.karmada.client import Client
from towpath.karmada.decode import (
    Binding,
    StoredCluster,
    StoredExport,
    StoredMember,
    StoredNamespace,
    StoredService,
    StoredTraffic,
)
from towpath.karmada.wire import Name
from towpath.model.cluster import Member
from towpath.model.installation import PathScope
from towpath.model.keys import Dialect, GatewayKey, ServiceKey
from towpath.model.ownership import (
    MANAGED_BY_LABEL,
    ROUTE_PREFIXES,
    followed_service,
    imported_service,
    is_derived,
    routed_service,
)
from towpath.model.world import ExportedService
from towpath.propagation.policies import OverridePolicy, Policy

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
        self._queue, self._returned = enqueue, returned
        self.listeners: list[Callable[[Due], None]] = []
        """Hear of everything that a change touches, also where it changes no derivation."""
        self.world = Incremental()
        self.lost: frozenset[str] = frozenset()
        """The members that Karmada cannot reach."""
        self.changed_at: dict[ServiceKey, float] = {}
        """When each service began to change (seconds since 1970), until a pass takes the change up."""
        self.reflecting = False
        """Whether any member has ever reported a digest: without the interpreter none does."""
        self.numbered: dict[Name, frozenset[str]] = {}
        """The derived OverridePolicies after the first, of the few services that have several."""
        self._names = ServiceNames()
        self.policies = UserPolicies()
        self.watched = Watched(client, self)
        self.services = Services(self.watched, self.world, self.policies)
        self.members = Members(self.watched, self._put_members, self._address_in_imports)
        self.world.time_passes = self.members.time_passed

    async def synced(self) -> None:
        """Wait until every kind has been listed once and the names of gateways have been resolved."""
        await self.watched.synced()
        await self.members.complete()

    def put_path_scope(self, scope: PathScope) -> None:
        """Take up which paths exports may have; touch every service if that changes."""
        if scope is not self.services.path_scope:
            self.services.path_scope = scope
            self._all_changed()

    @property
    def missing_inputs(self) -> tuple[str, ...]:
        """What cannot be missing where a ServiceImport exists: kinds whose last list was empty, and
        gateways."""
        missing = [f"no {kind}" for kind in self.watched.empty_kinds]
        if not any(member.gateway_host for member in self.world.fleet.members.values()):
            missing.append("no gateway of any cluster")
        return tuple(missing)

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
        target = self.services.targets.pop(name.name, None)
        if new is not None:
            self.services.targets[name.name] = new.target
        if target != self.services.targets.get(name.name) and self.policies.overrides:
            self._overrides_changed()
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
        key = ServiceKey(dialect, *name)
        self._names.count(key, (new is not None) - (old is not None))
        self._service_changed(*name)
        if new is None:
            # The service ended when the deletion was requested. What the export has left is due now.
            self._enqueue(key)

    def traffic_changed(
        self, dialect: Dialect, name: Name, old: StoredTraffic | None, new: StoredTraffic | None
    ) -> None:
        """Touch the service."""
        key = ServiceKey(dialect, *name)
        self._names.count(key, (new is not None) - (old is not None))
        self._service_changed(*name)
        self._enqueue(key)

    def service_changed(self, name: Name, old: StoredService | None, new: StoredService | None) -> None:
        """Touch the service of each dialect, and those that claim the same path.

        Where imports bring Services along, each change of a Service counts.
        """
        self._service_changed(*name)
        if self.world.fleet.with_data_path:
            for key in self._names.dialects_of(name):
                self._enqueue(key)

    def binding_changed(self, name: Name, old: Binding | None, new: Binding | None) -> None:
        """Touch the service whose template is bound; a ServiceImport's binding changes no derivation."""
        binding = new or old
        if binding is None:
            return
        template = name.name.removesuffix(decode.binding_name("", binding.kind))
        service = Name(name.namespace, routed_service(template) or template)
        if binding.kind in ROUTE_PREFIXES:
            self._touch(service)
        elif binding.kind == "ServiceImport":
            self.reflecting = self.reflecting or bool(binding.copies.digests)
            self._touch(service)
        else:
            self._service_changed(*service)
            self._left_behind(binding, service)
        if (old.copies.unready if old else None) != (new.copies.unready if new else None):
            self._touch(service)
        if (old.brought if old else None) != (new.brought if new else None):
            self._touch(service)

    def _left_behind(self, binding: Binding, service: Name) -> None:
        """Touch a service of which only a binding may be left."""
        for dialect in Dialect:
            if binding.api_version == dialect.api_version and not self._names.dialects_of(service):
                self._enqueue(ServiceKey(dialect, *service))

    def import_changed(
        self, dialect: Dialect, name: Name, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None
    ) -> None:
        """Touch the service that the import belongs to."""
        key = ServiceKey(dialect, *name)
        was = self.services.exporting.pop(key, frozenset())
        if exporting := decode.exporting(new):
            self.services.exporting[key] = exporting
        service = self.world.services.get(key)
        if service and ((was != exporting and _is_in_doubt(service)) or self._shows_else(service, new)):
            self._service_changed(*name)
        self._enqueue(key)

    def _shows_else(self, service: ExportedService, derived: Mapping[str, Any] | None) -> bool:
        """Tell whether the import shows other paths than the service is known to serve without a record."""
        key = service.key
        export = self.watched.exports[key.dialect].get(key.name, key.namespace)
        return export is not None and decode.shown(derived, export) != service.shown

    def route_changed(self, name: Name, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> None:
        """Touch the service that the route belongs to."""
        service = routed_service(name.name)
        if service is not None:
            self._touch(Name(name.namespace, service))

    def labelled_policy_changed(
        self, name: Name, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None
    ) -> None:
        """Touch the service that the policy belongs to, or what a policy of a user touches."""
        self._labelled_changed(self.policies.propagation, decode.policy, name, new)
        self._derived_changed(name, new)

    def labelled_override_changed(
        self, name: Name, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None
    ) -> None:
        """Touch the service that the policy belongs to, or what an override policy of a user touches."""
        self._labelled_changed(self.policies.overrides, decode.override, name, new)
        self._derived_changed(name, new)

    def _labelled_changed(
        self,
        users: PoliciesByNamespace[P],
        read: Callable[[bytes], P | None],
        name: Name,
        new: Mapping[str, Any] | None,
    ) -> None:
        policy = None if new is None or is_derived(new) else read(msgspec.json.encode(new))
        # Apart from the policy of this name without the label: either may be heard of first.
        if users.put(Name(name.namespace, f"{MANAGED_BY_LABEL}:{name.name}"), policy):
            self._all_changed(name.namespace)

    def _derived_changed(self, name: Name, new: Mapping[str, Any] | None) -> None:
        service = imported_service(name.name)
        if service is not None and "." in name.name:
            self._number(Name(name.namespace, service), name.name, exists=new is not None)
        service = service or followed_service(name.name)
        if service is not None:
            self._touch(Name(name.namespace, service))

    def user_policy_changed(self, name: Name, old: Policy | None, new: Policy | None) -> None:
        """Touch every service of the namespace; every service if the policy has no namespace."""
        self.policies.propagation.put(name, new)
        self._all_changed(name.namespace)

    def user_override_changed(
        self, name: Name, old: OverridePolicy | None, new: OverridePolicy | None
    ) -> None:
        """Touch every service of the namespace; every service if the policy has no namespace."""
        self.policies.overrides.put(name, new)
        self._overrides_changed(name.namespace)

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
            known = key in self.world.services or key in self.world.policies
            if export is None and policy is None and not known:
                continue  # so it is with most Services, and with what is read before the exports
            self._changed(
                self.world.put_service(
                    key, self.services.exported(key, export) if export and not export.deleting else None
                )
            )
            for touched in self.world.put_policy(key, self.services.applied(key, policy) if policy else None):
                self._enqueue(touched)

    def _all_changed(self, namespace: str = "") -> None:
        """Read anew what is exported or has a traffic policy, in one namespace or in all."""
        for service in {Name(key.namespace, key.name) for key in self._names.of(namespace)}:
            self._service_changed(*service)

    def _overrides_changed(self, namespace: str = "") -> None:
        """Touch what the user's override policies may reach: exports, and imports without a change of
        these."""
        self._all_changed(namespace)
        for key in self._names.of(namespace):
            self._enqueue(key)

    def _enqueue(self, due: Due) -> None:
        self._queue(due)
        for listener in self.listeners:
            listener(due)

    def _changed(self, touched: Iterable[ServiceKey]) -> None:
        now = time.time()
        for key in touched:
            if now - self.changed_at.get(key, 0.0) > CHANGE_WINDOW_SECONDS:
                self.changed_at[key] = now
            self._enqueue(key)

    def _touch(self, name: Name) -> None:
        """Touch the dialects in which the service exists; all of them if it is unknown what it belongs to."""
        keys = [ServiceKey(dialect, *name) for dialect in Dialect]
        known = {*self._names.dialects_of(name), *(key for key in keys if key in self.services.exporting)}
        for key in known or keys:
            self._enqueue(key)

    def _number(self, service: Name, policy: str, *, exists: bool) -> None:
        others = self.numbered.pop(service, frozenset()) - {policy}
        if names := others | {policy} if exists else others:
            self.numbered[service] = names


def _is_in_doubt(service: ExportedService) -> bool:
    """Tell whether it matters which clusters have had both objects of a service."""
    return bool(service.kept) or any(offer.absence for offer in service.offers.values())


def _targets_in(obj: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the targets of a ServiceImport's endpoints. The object may be anything that its CRD allows."""
    for port in obj.get("spec", {}).get("ports") or ():
        for endpoint in port.get("endpoints") or ():
            yield endpoint.get("target") or {}

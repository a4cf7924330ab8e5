"""The world in memory: reflectors for all that a derivation reads, and which service each change touches.

A service is touched by its export, its traffic policy, its Service, the bindings of these and the objects
derived from it; all services of a namespace by a policy of the user there that may select or change them.
What a change means for other services, of a member above all, ``incremental`` knows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from towpath.derivation.index import Incremental
from towpath.inventory.members import Members
from towpath.inventory.offers import offers_of
from towpath.inventory.policies import ByNamespace, is_selected
from towpath.karmada import decode, resources
from towpath.karmada.client import Client, Resource
from towpath.karmada.decode import Binding, StoredExport, StoredService, StoredTraffic
from towpath.karmada.reflector import Name, Reflector
from towpath.model.cluster import Member
from towpath.model.keys import Dialect, GatewayKey, ServiceKey
from towpath.model.ownership import OTHER_OBJECTS, OWN_OBJECTS, followed_service, imported_service
from towpath.model.world import AppliedPolicy, ExportedService
from towpath.propagation.claims import Claim
from towpath.propagation.policies import OverridePolicy, Policy
from towpath.propagation.selection import Template

Due = ServiceKey | GatewayKey
"""What can be touched, and then has to be looked at."""
Touch = Callable[[Due], None]
ONE_CHANGE = 10.0
"""Seconds within which what happens to a service belongs together: Karmada binds what a user has applied."""


class Inventory:
    """What Karmada's apiserver holds, as far as it matters. ``touch`` hears of everything touched.

    ``returned`` hears of members that are reached again.

    ``world`` is made of it, with the derivation of every service.
    """

    def __init__(self, client: Client, touch: Touch, returned: Callable[[], None] = lambda: None) -> None:
        self._touch = touch
        self._returned = returned
        self.world = Incremental()
        self.changed_at: dict[ServiceKey, float] = {}
        """When each service began to change (seconds since 1970), until whoever answers takes it out."""
        self.reporting = False
        """Whether any member has ever said what it holds: else nothing lets Karmada reflect it."""
        self._claiming = ByNamespace[Policy]()
        self._overriding = ByNamespace[OverridePolicy]()
        self._named: dict[str, dict[ServiceKey, int]] = {}

        self.members = Members(client, self._put_members, self._retargeted, touch, self._address_in_imports)
        self.going = Reflector(client, resources.NAMESPACES, decode.namespace, lambda *_: None)
        """Namespaces that are being deleted: what is in them goes, and nothing can be made."""
        self.services = Reflector(client, resources.SERVICES, decode.service, self._service_changed)
        self.bindings = Reflector(client, resources.BINDINGS, decode.binding, self._binding_changed)
        self.exports = {
            d: Reflector(
                client, resources.service_exports(d), decode.service_export, partial(self._export_changed, d)
            )
            for d in Dialect
        }
        self.traffic = {
            d: Reflector(
                client,
                resources.traffic_policies(d),
                decode.traffic_policy,
                partial(self._traffic_changed, d),
            )
            for d in Dialect
        }
        self.imports = {
            d: Reflector(
                client, resources.service_imports(d), decode.whole, self._import_changed, packed=True
            )
            for d in Dialect
        }

        def ours(resource: Resource) -> Reflector[dict[str, Any]]:
            changed = self._derived_changed
            return Reflector(client, resource, decode.whole, changed, selector=OWN_OBJECTS, packed=True)

        self.propagation = ours(resources.PROPAGATION_POLICIES)
        self.overrides = ours(resources.OVERRIDE_POLICIES)
        self.users_policies = [
            Reflector(client, resource, decode.policy, self._claims_changed, selector=OTHER_OBJECTS)
            for resource in (resources.PROPAGATION_POLICIES, resources.CLUSTER_PROPAGATION_POLICIES)
        ]
        self.users_overrides = [
            Reflector(client, resource, decode.override, self._overrides_changed, selector=OTHER_OBJECTS)
            for resource in (resources.OVERRIDE_POLICIES, resources.CLUSTER_OVERRIDE_POLICIES)
        ]

    @property
    def _derived(self) -> list[Reflector[dict[str, Any]]]:
        """The reflectors of what Towpath writes."""
        return [*self.imports.values(), self.propagation, self.overrides]

    @property
    def reflectors(self) -> list[Reflector[Any]]:
        """Every reflector."""
        return [
            *self.members.reflectors,
            *self.exports.values(),
            *self.traffic.values(),
            self.going,
            self.services,
            self.bindings,
            *self.users_policies,
            *self.users_overrides,
            *self._derived,
        ]

    @property
    def hollow(self) -> tuple[str, ...]:
        """What cannot be where an import stands: kinds of which the last list held none, no gateway."""
        kinds = (self.members.clusters, self.services, self.bindings)
        empty = [f"{reflector.resource} are none" for reflector in kinds if reflector.found_nothing]
        if not any(member.gateway_host for member in self.world.fleet.members.values()):
            empty.append("no cluster has a gateway")
        return tuple(empty)

    def relist(self) -> None:
        """List anew all that a derivation rests upon."""
        for reflector in self.reflectors:
            if reflector not in self._derived:
                reflector.relist()

    async def synced(self) -> None:
        """Wait until everything has been listed once, and the gateways' names have been looked up."""
        await asyncio.gather(*(reflector.synced.wait() for reflector in self.reflectors))
        await self.members.lookup.refresh(all_=False)

    @property
    def lost(self) -> frozenset[str]:
        """The members that Karmada can't reach."""
        members = self.world.fleet.members
        return frozenset(name for name, m in members.items() if m.unreachable_since is not None)

    def _put_members(self, members: Mapping[str, Member]) -> None:
        lost = self.lost
        self._tell(self.world.put_members(members))
        if lost - self.lost:
            self._returned()

    def _retargeted(self) -> None:
        if self._overriding:
            self._all_changed()

    def _address_in_imports(self, host: str) -> str:
        """Return the address that a host has in the imports there are."""
        for imports in self.imports.values():
            for obj in imports.items().values():
                for target in _targets_in(obj):
                    if target.get("host") == host and isinstance(target.get("ip"), str):
                        return str(target["ip"])
        return ""

    def _exported(self, key: ServiceKey) -> ExportedService | None:
        """Return one service as the members see it; None if it is not exported."""
        stored = self.exports[key.dialect].get(key.name, key.namespace)
        return None if stored is None else self.exported(key, stored)

    def exported(self, key: ServiceKey, stored: StoredExport) -> ExportedService:
        """Return one service as the members see it, with this as its export."""
        binding = self._binding(key.dialect.api_version, "ServiceExport", key, stored.uid)
        service = self.services.get(key.name, key.namespace)
        bound = self._binding("v1", "Service", key, service.uid) if service else None
        serving = bound.clusters if bound else frozenset()
        overrides = [*self._overriding.of(key.namespace)] if self._overriding else []
        offers, faults = offers_of(key, stored, binding, service, serving, overrides, self.members.targets)
        return ExportedService(
            key,
            stored.uid,
            offers,
            created=stored.created,
            annotations=stored.annotations,
            serving=serving,
            selected=self._is_selected(key, "ServiceExport", stored.labels),
            taken_by=self._taken_by(key, "ServiceExport"),
            frozen=service is not None and bound is not None and _is_frozen(service, bound),
            faults=faults,
        )

    def _applied(self, key: ServiceKey) -> AppliedPolicy | None:
        """Return the traffic policy of a service, None if there is none."""
        stored = self.traffic[key.dialect].get(key.name, key.namespace)
        return None if stored is None else self.applied(key, stored)

    def applied(self, key: ServiceKey, stored: StoredTraffic) -> AppliedPolicy:
        """Return the traffic policy of a service, with this as its template."""
        bound = self._binding(key.dialect.api_version, "GlobalTrafficPolicy", key, stored.uid)
        selected = self._is_selected(key, "GlobalTrafficPolicy", stored.labels)
        return AppliedPolicy(key, stored.uid, stored.policy, bound.clusters, selected)

    def services_of(self, claim: Claim) -> Iterator[Template]:
        """Yield the Services behind exports that a policy has claimed."""
        for namespace, name in {(key.namespace, key.name) for key in self.world.services}:
            stored = self.services.get(name, namespace) if claim.namespace in {"", namespace} else None
            if stored is not None and stored.claim == claim:
                yield Template("v1", "Service", namespace, name, stored.labels)

    def _is_selected(self, key: ServiceKey, kind: str, labels: Mapping[str, str]) -> bool:
        template = Template(key.dialect.api_version, kind, key.namespace, key.name, labels)
        return is_selected(self._claiming, template)

    def _changed(self, namespace: str, name: str) -> None:
        for dialect in Dialect:
            key = ServiceKey(dialect, namespace, name)
            self._tell(self.world.put_service(key, self._exported(key)))
            for touched in self.world.put_policy(key, self._applied(key)):
                self._touch(touched)

    def _all_changed(self, namespace: str = "") -> None:
        """Look again at what is exported or has a traffic policy, in one namespace or in all."""
        those = [self._named.get(namespace, {})] if namespace else self._named.values()
        for namespace_, name in {(key.namespace, key.name) for keys in those for key in keys}:
            self._changed(namespace_, name)

    def held(self, key: ServiceKey) -> Binding:
        """Return the binding of a service's import, with what each cluster reports and where it fails."""
        template = self.imports[key.dialect].get(key.name, key.namespace)
        uid = template["metadata"]["uid"] if template else ""
        return self._binding(key.dialect.api_version, "ServiceImport", key, uid)

    def import_taken_by(self, key: ServiceKey) -> str:
        """Return the API version of a ServiceImport whose binding has the name of this one's (facts T1)."""
        return self._taken_by(key, "ServiceImport")

    def _taken_by(self, key: ServiceKey, kind: str) -> str:
        binding = self.bindings.get(decode.binding_name(key.name, kind), key.namespace)
        if binding is None or binding.kind != kind:
            return ""
        group = binding.api_version.partition("/")[0]
        return binding.api_version if group != key.dialect else ""

    def _binding(self, api_version: str, kind: str, key: ServiceKey, uid: str) -> Binding:
        """Return the binding of a template; one without clusters if there is none.

        It is found by its name, which two groups share: what it says of its template decides whether it is
        the one.
        """
        binding = self.bindings.get(decode.binding_name(key.name, kind), key.namespace)
        if binding is None or (binding.api_version, binding.kind, binding.uid) != (api_version, kind, uid):
            return Binding(api_version, kind, uid, frozenset())
        return binding

    def _export_changed(self, dialect: Dialect, name: Name, old: object, new: object) -> None:
        self._count(ServiceKey(dialect, *name), (new is not None) - (old is not None))
        self._service_changed(name)

    def _traffic_changed(self, dialect: Dialect, name: Name, old: object, new: object) -> None:
        self._count(ServiceKey(dialect, *name), (new is not None) - (old is not None))
        self._service_changed(name)
        self._touch(ServiceKey(dialect, *name))

    def _count(self, key: ServiceKey, more: int) -> None:
        """Remember which services have an export or a traffic policy, and how many of these."""
        keys = self._named.setdefault(key.namespace, {})
        keys[key] = keys.get(key, 0) + more
        if not keys[key]:
            del keys[key]
        if not keys:
            del self._named[key.namespace]

    def _tell(self, changed: Iterable[ServiceKey]) -> None:
        now = time.time()
        for key in changed:
            if now - self.changed_at.get(key, 0.0) > ONE_CHANGE:
                self.changed_at[key] = now
            self._touch(key)

    def _service_changed(self, name: Name, *_: object) -> None:
        self._changed(*name)

    def _binding_changed(self, name: Name, old: Binding | None, new: Binding | None) -> None:
        binding = new or old
        if binding is None:
            return
        service = Name(name.namespace, name.name.removesuffix(decode.binding_name("", binding.kind)))
        if binding.kind == "ServiceImport":
            self.reporting = self.reporting or bool(binding.reported)
            self._import_changed(service)
        else:
            self._changed(*service)

    def _import_changed(self, name: Name, *_: object) -> None:
        for dialect in Dialect:
            self._touch(ServiceKey(dialect, *name))

    def _derived_changed(self, name: Name, *_: object) -> None:
        service = imported_service(name.name) or followed_service(name.name)
        if service is not None:
            self._import_changed(Name(name.namespace, service))

    def _claims_changed(self, name: Name, _: Policy | None, new: Policy | None) -> None:
        self._claiming.put(name, new)
        self._all_changed(name.namespace)

    def _overrides_changed(self, name: Name, _: OverridePolicy | None, new: OverridePolicy | None) -> None:
        self._overriding.put(name, new)
        self._all_changed(name.namespace)


def _is_frozen(service: StoredService, bound: Binding) -> bool:
    """Tell whether members have a Service that no policy has any more (facts T9)."""
    return bool(bound.clusters) and not (service.claim or service.going or bound.attached)


def _targets_in(obj: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield where the endpoints of a ServiceImport are. It may be anything that a CRD allows."""
    for port in obj.get("spec", {}).get("ports") or ():
        for endpoint in port.get("endpoints") or ():
            yield endpoint.get("target") or {}

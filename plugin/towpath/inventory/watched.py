"""What is watched: one table of resource, decoder and the effect of a change.

A row of the table is a reflector. Effects are methods of the inventory; each says in its name whose change it
handles and in its docstring which services it touches. Policies that Towpath derives and policies of users
are the same kinds: a label selector separates them on the apiserver, and what has the label without being
derived counts as a user's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Protocol, TypeVar

from towpath.karmada import decode, resources
from towpath.karmada.client import Client, Resource
from towpath.karmada.decode import (
    Binding,
    StoredCluster,
    StoredExport,
    StoredMember,
    StoredNamespace,
    StoredService,
    StoredTraffic,
)
from towpath.karmada.reflector import Reflector
from towpath.karmada.wire import Name
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.ownership import OTHER_OBJECTS, OWN_OBJECTS, belongs_to, is_ours
from towpath.propagation.policies import OverridePolicy, Policy
from towpath.rules.gateway_route import RouteKind

T = TypeVar("T")
Object = dict[str, Any]


class Effects(Protocol):
    """What a change of each kind does. ``old`` and ``new`` are None where the object did not or does not
    exist."""

    def namespace_changed(self, name: Name, old: StoredNamespace | None, new: StoredNamespace | None) -> None:
        """A namespace begins to terminate, is gone, or is propagated in another way."""

    def namespace_binding_changed(
        self, name: Name, old: frozenset[str] | None, new: frozenset[str] | None
    ) -> None:
        """The clusters that have a namespace change."""

    def cluster_changed(self, name: Name, old: StoredMember | None, new: StoredMember | None) -> None:
        """A Karmada Cluster changes."""

    def flomesh_cluster_changed(
        self, dialect: Dialect, name: Name, old: StoredCluster | None, new: StoredCluster | None
    ) -> None:
        """A flomesh Cluster changes."""

    def export_changed(
        self, dialect: Dialect, name: Name, old: StoredExport | None, new: StoredExport | None
    ) -> None:
        """A ServiceExport changes."""

    def traffic_changed(
        self, dialect: Dialect, name: Name, old: StoredTraffic | None, new: StoredTraffic | None
    ) -> None:
        """A GlobalTrafficPolicy changes."""

    def service_changed(self, name: Name, old: StoredService | None, new: StoredService | None) -> None:
        """A Service changes."""

    def binding_changed(self, name: Name, old: Binding | None, new: Binding | None) -> None:
        """A ResourceBinding changes."""

    def import_changed(self, dialect: Dialect, name: Name, old: Object | None, new: Object | None) -> None:
        """A derived ServiceImport changes."""

    def route_changed(self, name: Name, old: Object | None, new: Object | None) -> None:
        """A derived route changes."""

    def labelled_policy_changed(self, name: Name, old: Object | None, new: Object | None) -> None:
        """A propagation policy with Towpath's label changes."""

    def labelled_override_changed(self, name: Name, old: Object | None, new: Object | None) -> None:
        """An override policy with Towpath's label changes."""

    def user_policy_changed(self, name: Name, old: Policy | None, new: Policy | None) -> None:
        """A propagation policy of a user changes."""

    def user_override_changed(
        self, name: Name, old: OverridePolicy | None, new: OverridePolicy | None
    ) -> None:
        """An override policy of a user changes."""


class Watched:
    """The reflectors, by what they read."""

    def __init__(self, client: Client, effects: Effects) -> None:
        self.reflectors: list[Reflector[Any]] = []

        def watch(
            resource: Resource,
            decoder: Callable[[bytes], T | None],
            effect: Callable[[Name, T | None, T | None], None],
            *,
            selector: str = "",
            packed: bool = False,
        ) -> Reflector[T]:
            reflector = Reflector(client, resource, decoder, effect, selector=selector, packed=packed)
            self.reflectors.append(reflector)
            return reflector

        def each(
            resource: Callable[[Dialect], Resource],
            decoder: Callable[[bytes], T | None],
            effect: Callable[[Dialect, Name, T | None, T | None], None],
            *,
            packed: bool = False,
        ) -> Mapping[Dialect, Reflector[T]]:
            return {d: watch(resource(d), decoder, partial(effect, d), packed=packed) for d in Dialect}

        whole = decode.whole
        policies, cluster_policies = resources.PROPAGATION_POLICIES, resources.CLUSTER_PROPAGATION_POLICIES
        overrides, cluster_overrides = resources.OVERRIDE_POLICIES, resources.CLUSTER_OVERRIDE_POLICIES
        policy, override = effects.user_policy_changed, effects.user_override_changed

        self.clusters = watch(resources.CLUSTERS, decode.karmada_cluster, effects.cluster_changed)
        self.flomesh_clusters = each(
            resources.flomesh_clusters, decode.flomesh_cluster, effects.flomesh_cluster_changed
        )
        self.exports = each(resources.service_exports, decode.any_service_export, effects.export_changed)
        self.traffic = each(resources.traffic_policies, decode.traffic_policy, effects.traffic_changed)
        self.namespaces = watch(resources.NAMESPACES, decode.namespace, effects.namespace_changed)
        self.namespace_bindings = watch(
            resources.CLUSTER_BINDINGS, decode.namespace_binding, effects.namespace_binding_changed
        )
        self.services = watch(resources.SERVICES, decode.service, effects.service_changed)
        self.bindings = watch(resources.BINDINGS, decode.binding, effects.binding_changed)
        self.user_policies = [
            watch(policies, decode.policy, policy, selector=OTHER_OBJECTS),
            watch(cluster_policies, decode.policy, policy),
        ]
        self.user_overrides = [
            watch(overrides, decode.override, override, selector=OTHER_OBJECTS),
            watch(cluster_overrides, decode.override, override),
        ]
        self._inputs = tuple(self.reflectors)
        self.imports = each(resources.service_imports, whole, effects.import_changed, packed=True)
        self.routes = {
            RouteKind(resource.kind): watch(
                resource, whole, effects.route_changed, selector=OWN_OBJECTS, packed=True
            )
            for resource in (resources.HTTP_ROUTES, resources.INGRESSES)
        }
        labelled = effects.labelled_policy_changed
        self.propagation = watch(policies, whole, labelled, selector=OWN_OBJECTS, packed=True)
        labelled = effects.labelled_override_changed
        self.overrides = watch(overrides, whole, labelled, selector=OWN_OBJECTS, packed=True)

    async def synced(self) -> None:
        """Wait until every kind has been listed once."""
        await asyncio.gather(*(reflector.synced.wait() for reflector in self.reflectors))

    async def read(self) -> None:
        """List every kind once.

        Exports come last: each is then read once, and not again for each object behind it.
        """
        exports: list[Reflector[Any]] = [*self.exports.values(), *self.traffic.values()]
        others = [reflector for reflector in self.reflectors if reflector not in exports]
        for group in (others, exports):
            await asyncio.gather(*(reflector.read() for reflector in group))

    def is_taken(
        self, resource: Resource, name: Name, sources: Collection[str], others: Collection[str] = ()
    ) -> bool:
        """Tell whether a policy of a user has a name that is derived from one of ``sources``.

        What names one of ``others`` as its owner is a user's as well: nothing is derived from them.
        """
        is_override = resource == resources.OVERRIDE_POLICIES
        users: Reflector[Any] = (self.user_overrides if is_override else self.user_policies)[0]
        labelled = self.overrides if is_override else self.propagation
        there = labelled.get(name.name, name.namespace)
        is_users = there is not None and (not is_ours(there, sources) or belongs_to(there, others))
        return users.get(name.name, name.namespace) is not None or is_users

    def sources(self, namespace: str, name: str) -> dict[str, Dialect]:
        """Return the uid and the dialect of each export and traffic policy of a name.

        One that is being deleted is left out: what is derived from it goes to the next.
        """
        exports = {dialect: reflector.get(name, namespace) for dialect, reflector in self.exports.items()}
        traffic = {dialect: reflector.get(name, namespace) for dialect, reflector in self.traffic.items()}
        found = {stored.uid: dialect for dialect, stored in exports.items() if stored and not stored.deleting}
        return found | {stored.uid: dialect for dialect, stored in traffic.items() if stored}

    def relist(self) -> None:
        """List again everything that a derivation reads."""
        for reflector in self._inputs:
            reflector.relist()

    @property
    def lists(self) -> int:
        """How often everything that a derivation reads has been listed."""
        return min(reflector.lists for reflector in self._inputs)

    def written(self) -> dict[Resource, Reflector[Any]]:
        """Return where an object that Towpath writes is kept, by its resource."""
        per_dialect = (self.flomesh_clusters, self.exports, self.traffic, self.imports)
        kept = [reflector for group in (*per_dialect, self.routes) for reflector in group.values()]
        return {reflector.resource: reflector for reflector in (*kept, self.propagation, self.overrides)}

    @property
    def empty_kinds(self) -> list[str]:
        """The kinds that exist wherever a ServiceImport does, and of which the last list was empty."""
        kinds = (self.clusters, self.services, self.bindings)
        return [str(reflector.resource) for reflector in kinds if reflector.found_nothing]

    def binding_of(self, api_version: str, kind: str, key: ServiceKey, uid: str) -> Binding:
        """Return the binding of a template; a binding without clusters if there is none.

        Two API groups share the name of a binding (shared binding names): its spec decides whose it is.
        """
        binding = self.bindings.get(decode.binding_name(key.name, kind), key.namespace)
        if binding is None or (binding.api_version, binding.kind, binding.uid) != (api_version, kind, uid):
            return Binding(api_version, kind, uid, frozenset())
        return binding

    def bound(self, key: ServiceKey, kind: str) -> frozenset[str]:
        """Return the clusters that a template of this name is bound to, or a former one that has gone."""
        binding = self.bindings.get(decode.binding_name(key.name, kind), key.namespace)
        if binding is None or (binding.api_version, binding.kind) != (key.dialect.api_version, kind):
            return frozenset()
        return binding.clusters

    def taken_by(self, key: ServiceKey, kind: str) -> str:
        """Return the API version whose template has the binding of this name; empty if it is the
        dialect's."""
        binding = self.bindings.get(decode.binding_name(key.name, kind), key.namespace)
        if binding is None or binding.kind != kind:
            return ""
        group = binding.api_version.partition("/")[0]
        return binding.api_version if group != key.dialect else ""

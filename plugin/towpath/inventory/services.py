"""What the objects that are watched say of one service: its export, its traffic policy, its claims."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from towpath.derivation.index import Incremental
from towpath.inventory.offers import offers_of, stale_since
from towpath.inventory.policies import UserPolicies
from towpath.inventory.watched import Watched
from towpath.karmada import decode
from towpath.karmada.decode import Binding, Copies, StoredExport, StoredService, StoredTraffic
from towpath.model.installation import PathScope
from towpath.model.keys import ServiceKey
from towpath.model.world import AppliedPolicy, ExportedService
from towpath.propagation.claims import Claim
from towpath.propagation.policies import Target
from towpath.propagation.selection import Template


@dataclass
class Services:
    """Reads one service out of what is watched.

    ``targets`` are the members as policies select them. ``exporting`` are the clusters whose endpoints each
    derived ServiceImport holds: they have had both objects.
    """

    watched: Watched
    world: Incremental
    policies: UserPolicies
    targets: dict[str, Target] = field(default_factory=dict)
    exporting: dict[ServiceKey, frozenset[str]] = field(default_factory=dict)
    path_scope: PathScope = PathScope.SHARED

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
        overrides = self.policies.overriding(key.namespace)
        exporting = self.exporting.get(key, frozenset())
        offered = offers_of(key, stored, binding, service, bound, overrides, self.targets, exporting)
        return ExportedService(
            key,
            stored.uid,
            offered.offers,
            created=stored.created,
            annotations=stored.annotations,
            serving=serving,
            selected=self._is_selected(key, "ServiceExport", stored.labels),
            taken_by=watched.taken_by(key, "ServiceExport"),
            frozen=service is not None and bound is not None and _is_frozen(service, bound),
            faults=offered.faults,
            kept=offered.kept,
            namespaced=self._namespaced(key.namespace, binding, bound),
            has_service=service is not None,
            service_selected=bool(serving)
            or (service is not None and self._is_service_selected(key, service)),
            stale=stale_since(offered, self.world.services.get(key), time.time()),
            claimed=stored.claims,
            untouched=stored.untouched,
            shown=decode.shown(watched.imports[key.dialect].get(key.name, key.namespace), stored),
            path_root=self.path_scope.root(key.namespace),
        )

    def applied(self, key: ServiceKey, stored: StoredTraffic) -> AppliedPolicy:
        """Return the traffic policy of a service, with this as its template."""
        bound = self.watched.binding_of(key.dialect.api_version, "GlobalTrafficPolicy", key, stored.uid)
        selected = self._is_selected(key, "GlobalTrafficPolicy", stored.labels)
        return AppliedPolicy(key, stored.uid, stored.policy, bound.clusters, selected)

    def claimed_by(self, claim: Claim) -> Iterator[Template]:
        """Yield the Services behind exports that a policy has claimed."""
        for namespace, name in {(key.namespace, key.name) for key in self.world.services}:
            if claim.namespace not in {"", namespace}:
                continue
            stored = self.watched.services.get(name, namespace)
            if stored is not None and stored.claim == claim:
                yield Template("v1", "Service", namespace, name, stored.labels)

    def _is_service_selected(self, key: ServiceKey, service: StoredService) -> bool:
        template = Template("v1", "Service", key.namespace, key.name, service.labels)
        return service.claim is not None or self.policies.select(template)

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
        return self.policies.select(template)


def _is_frozen(service: StoredService, bound: Binding) -> bool:
    """Tell whether members have a Service that no policy selects any more (frozen templates)."""
    return bool(bound.clusters) and not (service.claim or service.going or bound.attached)

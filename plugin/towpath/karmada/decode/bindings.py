"""ResourceBindings: to which clusters Karmada has bound templates, and what members report of the copies."""

from __future__ import annotations

import sys
from typing import NamedTuple

import msgspec

from towpath.karmada.decode.copies import NOWHERE, Copies, copies_of
from towpath.karmada.decode.metadata import Meta, shared
from towpath.karmada.nesting import decoded
from towpath.model.ownership import ROUTE_PREFIXES
from towpath.model.world import Absence

EVERYWHERE = frozenset({"*"})


class Binding(NamedTuple):
    """What Karmada decided for one template: the clusters to which it is bound, and ``copies`` there.

    A cluster that is bound only because the derived ServiceImport depends on the template does not count:
    ``brought`` are the clusters that have it by their import, alone or not.
    ``attached``: the binding exists, also or only, because another object depends on it (propagateDeps).
    ``suspended`` are the clusters to which Karmada does not dispatch, ``EVERYWHERE`` for all.
    """

    api_version: str
    kind: str
    uid: str
    clusters: frozenset[str]
    copies: Copies = Copies()
    attached: bool = False
    suspended: frozenset[str] = NOWHERE
    brought: frozenset[str] = NOWHERE

    def is_suspended(self, cluster: str) -> bool:
        """Tell whether Karmada dispatches no change to a cluster."""
        return self.suspended is EVERYWHERE or cluster in self.suspended

    def absence(self, cluster: str) -> tuple[Absence, str] | None:
        """Return why a bound cluster does not have the template, and Karmada's message; None if it has it."""
        if cluster in self.copies.applied:
            return None
        if self.is_suspended(cluster):
            return Absence.SUSPENDED, ""
        if message := self.copies.failed.get(cluster):
            return Absence.FAILED, message
        return Absence.UNREPORTED if cluster in self.copies.unreported else Absence.PENDING, ""


def binding_name(name: str, kind: str) -> str:
    """Return the name of a template's binding; API groups share it (*shared binding names*)."""
    return f"{name}-{kind.lower()}"


class _Named(msgspec.Struct, gc=False):
    name: str


class _Requirer(msgspec.Struct, gc=False):
    name: str = ""
    clusters: list[_Named] = []


class _Clusters(msgspec.Struct, rename="camel", gc=False):
    cluster_names: list[str] = []


class _Suspension(msgspec.Struct, rename="camel", gc=False):
    dispatching: bool | None = None
    dispatching_on_clusters: _Clusters | None = None


class _BoundResource(msgspec.Struct, rename="camel", gc=False):
    api_version: str
    kind: str
    name: str
    uid: str = ""


class _BindingSpec(msgspec.Struct, rename="camel", gc=False):
    resource: _BoundResource
    clusters: list[_Named] = []
    required_by: list[_Requirer] = []
    suspension: _Suspension | None = None


class _BindingObject(msgspec.Struct, gc=False):
    metadata: Meta
    spec: _BindingSpec
    status: msgspec.Raw = msgspec.Raw(b"{}")


def binding(raw: bytes) -> Binding | None:
    """Decode a ResourceBinding of a kind that matters; None for others, and while it is being deleted.

    A template reaches the scheduler's clusters and those of the objects that depend on it.
    """
    obj = decoded(_bindings, raw)
    resource = obj.spec.resource
    is_route = resource.name.startswith(ROUTE_PREFIXES.get(resource.kind, " "))
    counts = resource.kind in _BOUND or is_route
    if not counts or obj.metadata.deletion_timestamp:
        return None
    own = binding_name(resource.name, "ServiceImport")
    requirers = [requirer for requirer in obj.spec.required_by if requirer.name != own]
    imports = [requirer for requirer in obj.spec.required_by if requirer.name == own]
    brought = {cluster.name for requirer in imports for cluster in requirer.clusters}
    clusters = {cluster.name for cluster in obj.spec.clusters}
    for requirer in requirers:
        clusters.update(cluster.name for cluster in requirer.clusters)
    return Binding(
        sys.intern(resource.api_version),
        sys.intern(resource.kind),
        resource.uid,
        shared(frozenset(map(sys.intern, clusters))),
        copies_of(resource.kind, obj.status),
        bool(requirers),
        _suspended(obj.spec.suspension),
        shared(frozenset(map(sys.intern, brought))) if brought else NOWHERE,
    )


def namespace_binding(raw: bytes) -> frozenset[str] | None:
    """Return the clusters that have a Namespace, by its ClusterResourceBinding; None for another kind."""
    obj = decoded(_bindings, raw)
    if obj.spec.resource.kind != "Namespace" or obj.metadata.deletion_timestamp:
        return None
    return copies_of("Namespace", obj.status).applied


def _suspended(suspension: _Suspension | None) -> frozenset[str]:
    if suspension is None:
        return NOWHERE
    if suspension.dispatching:
        return EVERYWHERE
    on_clusters = suspension.dispatching_on_clusters
    return shared(frozenset(on_clusters.cluster_names)) if on_clusters else NOWHERE


_bindings = msgspec.json.Decoder(_BindingObject)
_BOUND = frozenset({"Service", "GlobalTrafficPolicy", "ServiceExport", "ServiceImport"})
"""The kinds whose bindings count."""

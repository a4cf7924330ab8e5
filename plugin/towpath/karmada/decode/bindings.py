"""ResourceBindings: to which clusters Karmada has bound templates, and what members report of the copies."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from towpath.karmada.decode.metadata import NONE, Meta, shared
from towpath.model.world import Absence

NOWHERE: frozenset[str] = frozenset()
EVERYWHERE = frozenset({"*"})


class Copies(NamedTuple):
    """What Karmada and the members report of the copies of one template, by cluster.

    ``reported`` is the part that counts: of a ServiceImport the digest of its view, of a ServiceExport the
    message with which the member's own controller finds it invalid. ``applied`` are the clusters that have
    some version of the template, and ``failed`` Karmada's messages where it cannot write.
    """

    reported: Mapping[str, str] = NONE
    applied: frozenset[str] = NOWHERE
    failed: Mapping[str, str] = NONE


class Binding(NamedTuple):
    """What Karmada decided for one template: the clusters to which it is bound, and ``copies`` there.

    A cluster that is bound only because the derived ServiceImport depends on the template does not count.
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
        return Absence.PENDING, ""


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


class _CopyCondition(msgspec.Struct, gc=False):
    type: str = ""
    status: str = ""
    message: str = ""


class _CopyStatus(msgspec.Struct, gc=False):
    view: str = ""
    conditions: list[_CopyCondition] = []


class _Copy(msgspec.Struct, rename="camel", gc=False):
    cluster_name: str
    status: _CopyStatus | None = None
    applied: bool = False
    applied_message: str = ""


class _BindingStatus(msgspec.Struct, rename="camel", gc=False):
    aggregated_status: list[_Copy] = []


class _BindingObject(msgspec.Struct, gc=False):
    metadata: Meta
    spec: _BindingSpec
    status: msgspec.Raw = msgspec.Raw(b"{}")


def binding(raw: bytes) -> Binding | None:
    """Decode a ResourceBinding of a kind that matters; None for others, and while it is being deleted.

    A template reaches the scheduler's clusters and those of the objects that depend on it.
    """
    obj = msgspec.json.decode(raw, type=_BindingObject)
    resource = obj.spec.resource
    if resource.kind not in _BOUND or resource.kind == "Namespace" or obj.metadata.deletion_timestamp:
        return None
    own = binding_name(resource.name, "ServiceImport")
    requirers = [requirer for requirer in obj.spec.required_by if requirer.name != own]
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
    )


def namespace_binding(raw: bytes) -> frozenset[str] | None:
    """Return the clusters that have a Namespace, by its ClusterResourceBinding; None for another kind."""
    obj = msgspec.json.decode(raw, type=_BindingObject)
    if obj.spec.resource.kind != "Namespace" or obj.metadata.deletion_timestamp:
        return None
    return copies_of("Namespace", obj.status).applied


def copies_of(kind: str, status: bytes) -> Copies:
    """Read the status of a binding of a template of this kind."""
    found = msgspec.json.decode(status, type=_BindingStatus).aggregated_status
    if not found:
        return _NO_COPIES
    read = _BOUND[kind]
    reported = {sys.intern(c.cluster_name): shared(text) for c in found if (text := read(c)) is not None}
    failed = {c.cluster_name: c.applied_message for c in found if not c.applied and c.applied_message}
    applied = shared(frozenset(sys.intern(c.cluster_name) for c in found if c.applied))
    return Copies(reported or NONE, applied, failed or NONE)


def _suspended(suspension: _Suspension | None) -> frozenset[str]:
    if suspension is None:
        return NOWHERE
    if suspension.dispatching:
        return EVERYWHERE
    on_clusters = suspension.dispatching_on_clusters
    return shared(frozenset(on_clusters.cluster_names)) if on_clusters else NOWHERE


def _nothing(_: _Copy) -> str | None:
    return None


def _view(copy: _Copy) -> str | None:
    """Return the digest that a cluster holds (deploy/karmada/interpreter.yaml)."""
    return copy.status.view if copy.status and copy.status.view else None


def _refusal(copy: _Copy) -> str | None:
    """Return the message of a cluster that finds its ServiceExport invalid."""
    for condition in copy.status.conditions if copy.status else ():
        if condition.type == "Valid" and condition.status == "False":
            return condition.message
    return None


_NO_COPIES = Copies()
_BOUND: Mapping[str, Callable[[_Copy], str | None]] = {
    "Namespace": _nothing,
    "Service": _nothing,
    "GlobalTrafficPolicy": _nothing,
    "ServiceExport": _refusal,
    "ServiceImport": _view,
}
"""The kinds whose bindings count, and what is read of the report of each cluster."""

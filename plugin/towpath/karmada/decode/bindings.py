"""ResourceBindings: to which clusters Karmada has bound templates, and what members report of the copies."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from towpath.karmada.decode.metadata import NONE, Meta, shared
from towpath.karmada.nesting import decoded
from towpath.model.ownership import ROUTE_PREFIXES
from towpath.model.world import Absence

NOWHERE: frozenset[str] = frozenset()
EVERYWHERE = frozenset({"*"})
_UNKNOWN = "Unknown"
"""The health of a copy of which Karmada has not heard yet."""


class Copies(NamedTuple):
    """What Karmada and the members report of the copies of one template, by cluster.

    ``accepted`` are those whose gateway serves a route, and ``refused`` also its messages where it does not.
    ``digests`` are those of the content that each member holds of a ServiceImport or a ServiceExport
    (``model.digest``), and ``refused`` the messages with which a member's own controller finds a
    ServiceExport invalid. ``applied`` are the clusters that have some version of the template, ``unreported``
    those in which Karmada has applied it, as it says, and that do not report it: on its way, or lost (*lost
    write*). ``failed`` are Karmada's messages where it cannot write.
    """

    digests: Mapping[str, str] = NONE
    refused: Mapping[str, str] = NONE
    applied: frozenset[str] = NOWHERE
    unreported: frozenset[str] = NOWHERE
    failed: Mapping[str, str] = NONE
    accepted: frozenset[str] = NOWHERE


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


class _CopyCondition(msgspec.Struct, gc=False):
    type: str = ""
    status: str = ""
    message: str = ""


class _Parent(msgspec.Struct, gc=False):
    conditions: list[_CopyCondition] = []


class _CopyStatus(msgspec.Struct, gc=False):
    view: str = ""
    digest: str = ""
    conditions: list[_CopyCondition] = []
    parents: list[_Parent] = []


class _Copy(msgspec.Struct, rename="camel", gc=False):
    cluster_name: str
    status: _CopyStatus | None = None
    applied: bool = False
    applied_message: str = ""
    health: str = ""

    @property
    def is_reported(self) -> bool:
        """Whether the member reports the copy: until it does, Karmada knows neither status nor health."""
        return self.status is not None or self.health != _UNKNOWN


class _BindingStatus(msgspec.Struct, rename="camel", gc=False):
    aggregated_status: list[_Copy] = []


class _UnreadCopy(msgspec.Struct, rename="camel", gc=False):
    cluster_name: str
    status: msgspec.Raw = msgspec.Raw(b"null")
    applied: bool = False
    applied_message: str = ""
    health: str = ""


class _UnreadStatus(msgspec.Struct, rename="camel", gc=False):
    aggregated_status: list[_UnreadCopy] = []


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


def copies_of(kind: str, status: bytes) -> Copies:
    """Read the status of a binding of a template of this kind."""
    found = _reported(status)
    if not found:
        return _NO_COPIES
    digests, refused, failed = dict[str, str](), dict[str, str](), dict[str, str]()
    applied, unreported, accepted = list[str](), list[str](), list[str]()
    is_export, is_route = kind == "ServiceExport", kind in ROUTE_PREFIXES
    for copy in found:  # once: a question of the webhook brings as many as there are members
        name, status_there = sys.intern(copy.cluster_name), copy.status
        if status_there is not None and (digest := status_there.view or status_there.digest):
            digests[name] = shared(digest)  # of the content that the cluster has (interpreter.yaml)
        if is_export and (text := _refusal(copy)) is not None:
            refused[name] = shared(text)
        if is_route and copy.applied:
            text = _refused_route(copy)
            if text:
                refused[name] = text
            elif text is not None or kind != "HTTPRoute":
                accepted.append(name)
        if copy.applied:
            (applied if copy.is_reported else unreported).append(name)
        elif copy.applied_message:
            failed[name] = copy.applied_message
    there, lost = shared(frozenset(applied)), shared(frozenset(unreported))
    serving = shared(frozenset(accepted))
    return Copies(digests or NONE, refused or NONE, there, lost, failed or NONE, serving)


def _reported(status: bytes) -> list[_Copy]:
    """Return the copies. A member decides what it reports: if that is malformed, the other members count."""
    try:
        return decoded(_statuses, status).aggregated_status
    except msgspec.ValidationError:
        return [*map(_copy, decoded(_unread_statuses, status).aggregated_status)]


def _copy(found: _UnreadCopy) -> _Copy:
    try:
        status = decoded(_copy_statuses, found.status)
    except msgspec.ValidationError:
        status = _CopyStatus()  # reported, and says nothing
    return _Copy(found.cluster_name, status, found.applied, found.applied_message, found.health)


def _suspended(suspension: _Suspension | None) -> frozenset[str]:
    if suspension is None:
        return NOWHERE
    if suspension.dispatching:
        return EVERYWHERE
    on_clusters = suspension.dispatching_on_clusters
    return shared(frozenset(on_clusters.cluster_names)) if on_clusters else NOWHERE


def _refusal(copy: _Copy) -> str | None:
    """Return the message of a cluster that finds its ServiceExport invalid."""
    for condition in copy.status.conditions if copy.status else ():
        if condition.type == "Valid" and condition.status == "False":
            return condition.message
    return None


def _refused_route(copy: _Copy) -> str | None:
    """Return the message of a gateway that does not serve a route, empty if it does, None before it says so.

    A gateway writes Accepted and ResolvedRefs for each parent (RouteParentStatus of the Gateway API).
    """
    found = [c for parent in copy.status.parents for c in parent.conditions] if copy.status else []
    refusals = (
        (c.message or c.type)[:_QUOTED] for c in found if c.type in _OF_ROUTES and c.status == "False"
    )
    accepted = any(c.type == "Accepted" and c.status == "True" for c in found)
    return next(refusals, "" if accepted else None)


_bindings, _statuses = msgspec.json.Decoder(_BindingObject), msgspec.json.Decoder(_BindingStatus)
_unread_statuses = msgspec.json.Decoder(_UnreadStatus)
_copy_statuses = msgspec.json.Decoder(_CopyStatus | None)
_NO_COPIES = Copies()
_QUOTED = 300
"""Characters that are kept of a gateway's message."""
_OF_ROUTES = frozenset({"Accepted", "ResolvedRefs"})
_BOUND = frozenset({"Service", "GlobalTrafficPolicy", "ServiceExport", "ServiceImport"})
"""The kinds whose bindings count."""

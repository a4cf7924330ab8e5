"""ResourceBindings: to which clusters Karmada has bound templates, and what members report of the copies."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from towpath.karmada.decode.metadata import NONE, Meta, shared


class Binding(NamedTuple):
    """The binding of one template: the clusters it is bound to.

    ``reported`` is what is of interest in what they say of their copies: of a ServiceImport the digest of
    the view that it gives, of a ServiceExport why the cluster itself does not find it valid. ``failed`` is
    what Karmada says of imports that it cannot write, by cluster. ``attached``: it is there, also or only,
    because of another object (propagateDeps).
    """

    api_version: str
    kind: str
    uid: str
    clusters: frozenset[str]
    reported: Mapping[str, str] = NONE
    failed: Mapping[str, str] = NONE
    attached: bool = False


def binding_name(name: str, kind: str) -> str:
    """Return the name of a template's binding; API groups share it (*shared binding names*)."""
    return f"{name}-{kind.lower()}"


class _Named(msgspec.Struct, gc=False):
    name: str


class _Requirer(msgspec.Struct, gc=False):
    clusters: list[_Named] = []


class _BoundResource(msgspec.Struct, rename="camel", gc=False):
    api_version: str
    kind: str
    name: str
    uid: str = ""


class _BindingSpec(msgspec.Struct, rename="camel", gc=False):
    resource: _BoundResource
    clusters: list[_Named] = []
    required_by: list[_Requirer] = []


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
    if resource.kind not in _BOUND or obj.metadata.deletion_timestamp:
        return None
    clusters = {cluster.name for cluster in obj.spec.clusters}
    for requirer in obj.spec.required_by:
        clusters.update(cluster.name for cluster in requirer.clusters)
    said = _BOUND[resource.kind](obj.status)
    reported = {sys.intern(cluster): shared(what) for cluster, what in said}
    return Binding(
        sys.intern(resource.api_version),
        sys.intern(resource.kind),
        resource.uid,
        shared(frozenset(map(sys.intern, clusters))),
        reported or NONE,
        _failures(obj.status) if resource.kind == "ServiceImport" else NONE,
        bool(obj.spec.required_by),
    )


def _nothing(_: bytes) -> Iterator[tuple[str, str]]:
    yield from ()


def _views(status: bytes) -> Iterator[tuple[str, str]]:
    """Yield the digest that each cluster holds (deploy/karmada/interpreter.yaml)."""
    for copy in msgspec.json.decode(status, type=_BindingStatus).aggregated_status:
        if copy.status and copy.status.view:
            yield copy.cluster_name, copy.status.view


def _failures(status: bytes) -> Mapping[str, str]:
    copies = msgspec.json.decode(status, type=_BindingStatus).aggregated_status
    return {c.cluster_name: c.applied_message for c in copies if not c.applied and c.applied_message} or NONE


def refusals(status: bytes) -> Iterator[tuple[str, str]]:
    """Yield the message of each cluster whose ServiceExport is not valid."""
    for copy in msgspec.json.decode(status, type=_BindingStatus).aggregated_status:
        for condition in copy.status.conditions if copy.status else ():
            if condition.type == "Valid" and condition.status == "False":
                yield copy.cluster_name, condition.message


_BOUND: Mapping[str, Callable[[bytes], Iterator[tuple[str, str]]]] = {
    "Service": _nothing,
    "GlobalTrafficPolicy": _nothing,
    "ServiceExport": refusals,
    "ServiceImport": _views,
}
"""The kinds whose bindings count, and what is read of their clusters' reports."""

"""From an object's bytes to what is worth keeping of it: one function a kind, for the reflectors.

msgspec reads only the fields that are named here, so what the fleet's objects hold besides costs
neither time nor memory. Much of the rest is the same in many objects (the clusters of a placement, a Service
with one port 80): equal values are kept once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar, cast

import msgspec

from towpath.model.cluster import (
    DEFAULT_GATEWAY_PORT,
    DRAIN_ANNOTATION,
    GATEWAY_ANNOTATION,
    GROUP_ANNOTATION,
    FlomeshCluster,
    Member,
)
from towpath.model.export import Export
from towpath.model.keys import DEFAULT, Dialect
from towpath.model.service import Service
from towpath.model.times import seconds
from towpath.propagation.claims import Claim, claim_of
from towpath.rules.eligibility import is_set
from towpath.rules.gateway import parse_gateway

_OURS = "towpath.io/"
_READY = "Ready"

H = TypeVar("H", bound=Hashable)


@lru_cache(maxsize=2048)
def _first(value: Hashable) -> Hashable:
    return value


def _shared(value: H) -> H:
    """Return the one of equal values that is kept already, so that the others can go."""
    return cast(H, _first(value))


class Meta(msgspec.Struct, rename="camel"):
    """The metadata that decoders look at."""

    name: str
    namespace: str = ""
    uid: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    generation: int = 0


class _Object(msgspec.Struct):
    metadata: Meta
    spec: msgspec.Raw = msgspec.Raw(b"{}")
    status: msgspec.Raw = msgspec.Raw(b"{}")


_NONE: Mapping[str, str] = {}


class StoredExport(NamedTuple):
    """A ServiceExport template. ``created`` is RFC 3339 in UTC, so it sorts as text.

    ``annotations`` are those that begin with ``towpath.io/``, ``says`` is the JSON of its status. ``labels``
    are what policies may select it by, and ``claim`` is which of them has it, None if none has.
    """

    uid: str
    created: str
    export: Export
    annotations: Mapping[str, str]
    generation: int = 0
    says: bytes = b"{}"
    labels: Mapping[str, str] = _NONE
    claim: Claim | None = None

    @property
    def status(self) -> Mapping[str, Any]:
        """What its status says now."""
        return msgspec.json.decode(self.says, type=dict[str, Any])


class StoredService(NamedTuple):
    """A Service template. ``going`` while it is being deleted; labels and claim as of an export."""

    uid: str
    service: Service
    going: bool
    labels: Mapping[str, str] = {}
    claim: Claim | None = None


class Binding(NamedTuple):
    """What Karmada decided for one template: the clusters it is bound to.

    ``reported`` is what is of interest in what they say of their copies: of a ServiceImport the digest of
    the view that it gives, of a ServiceExport why the cluster itself does not find it valid.
    """

    api_version: str
    kind: str
    uid: str
    clusters: frozenset[str]
    reported: Mapping[str, str] = _NONE


class _Named(msgspec.Struct):
    name: str


class _Requirer(msgspec.Struct):
    clusters: list[_Named] = []


class _BoundResource(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    name: str
    uid: str = ""


class _BindingSpec(msgspec.Struct, rename="camel"):
    resource: _BoundResource
    clusters: list[_Named] = []
    required_by: list[_Requirer] = []


class _CopyCondition(msgspec.Struct):
    type: str = ""
    status: str = ""
    message: str = ""


class _CopyStatus(msgspec.Struct):
    view: str = ""
    conditions: list[_CopyCondition] = []


class _Copy(msgspec.Struct, rename="camel"):
    cluster_name: str
    status: _CopyStatus | None = None


class _BindingStatus(msgspec.Struct, rename="camel"):
    aggregated_status: list[_Copy] = []


class _BindingObject(msgspec.Struct):
    metadata: Meta
    spec: _BindingSpec
    status: msgspec.Raw = msgspec.Raw(b"{}")


class _EnabledKind(msgspec.Struct):
    kind: str


class _Enablement(msgspec.Struct, rename="camel"):
    group_version: str
    resources: list[_EnabledKind] = []


class _ClusterSpec(msgspec.Struct):
    region: str = ""
    zone: str = ""
    zones: list[str] = []


class _Condition(msgspec.Struct, rename="camel"):
    type: str
    status: str
    last_transition_time: str = ""


class _ClusterStatus(msgspec.Struct, rename="camel"):
    api_enablements: list[_Enablement] = []
    conditions: list[_Condition] = []


class _ClusterObject(msgspec.Struct):
    metadata: Meta
    spec: _ClusterSpec = msgspec.field(default_factory=_ClusterSpec)
    status: _ClusterStatus = msgspec.field(default_factory=_ClusterStatus)


def service_export(raw: bytes) -> StoredExport | None:
    """Read a ServiceExport; None while it is being deleted. Raises InvalidObject."""
    obj = msgspec.json.decode(raw, type=_Object)
    meta = obj.metadata
    if meta.deletion_timestamp:
        return None
    export = Export.parse(msgspec.json.decode(obj.spec), f"ServiceExport {meta.namespace}/{meta.name}")
    ours = {name: value for name, value in meta.annotations.items() if name.startswith(_OURS)}
    stored = StoredExport(
        meta.uid,
        meta.creation_timestamp,
        export,
        ours or _NONE,
        meta.generation,
        bytes(obj.status),
        meta.labels or _NONE,
        _shared(claim_of(meta.annotations)),
    )
    _ = stored.status  # what can't be read is told here and now
    return stored


def service(raw: bytes) -> StoredService:
    """Read a Service. Raises InvalidObject."""
    obj = msgspec.json.decode(raw, type=_Object)
    meta = obj.metadata
    what = f"Service {meta.namespace}/{meta.name}"
    going = meta.deletion_timestamp is not None
    spec = msgspec.json.decode(obj.spec)
    if isinstance(spec, dict) and spec.get("clusterIP") != "None":
        spec.pop("clusterIP", None)  # another for each Service, and without meaning elsewhere
    return StoredService(
        meta.uid,
        _shared(Service.parse(spec, what)),
        going,
        meta.labels or _NONE,
        _shared(claim_of(meta.annotations)),
    )


def binding(raw: bytes) -> Binding | None:
    """Read a ResourceBinding of a kind that counts; None for all others, and for one that goes.

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
    reported = {sys.intern(cluster): _shared(what) for cluster, what in said}
    return Binding(
        sys.intern(resource.api_version),
        sys.intern(resource.kind),
        resource.uid,
        _shared(frozenset(map(sys.intern, clusters))),
        reported or _NONE,
    )


def _nothing(_: bytes) -> Iterator[tuple[str, str]]:
    yield from ()


def _views(status: bytes) -> Iterator[tuple[str, str]]:
    """Yield the digest that each cluster holds (deploy/karmada/interpreter.yaml)."""
    for copy in msgspec.json.decode(status, type=_BindingStatus).aggregated_status:
        if copy.status and copy.status.view:
            yield copy.cluster_name, copy.status.view


def refusals(status: bytes) -> Iterator[tuple[str, str]]:
    """Yield what each cluster says that does not find its ServiceExport valid."""
    for copy in msgspec.json.decode(status, type=_BindingStatus).aggregated_status:
        for condition in copy.status.conditions if copy.status else ():
            if condition.type == "Valid" and condition.status == "False":
                yield copy.cluster_name, condition.message


_BOUND: Mapping[str, Callable[[bytes], Iterator[tuple[str, str]]]] = {
    "Service": _nothing,
    "ServiceExport": refusals,
    "ServiceImport": _views,
}
"""The kinds whose bindings count, and what is read of their clusters' reports."""


def member(raw: bytes) -> Member | None:
    """Read a Karmada Cluster; None while it leaves."""
    obj = msgspec.json.decode(raw, type=_ClusterObject)
    meta, spec = obj.metadata, obj.spec
    if meta.deletion_timestamp:
        return None
    # What is no gateway is kept as it is, so that it can be said what is wrong.
    gateway = meta.annotations.get(GATEWAY_ANNOTATION, "")
    host, port = parse_gateway(gateway) or (gateway.strip(), DEFAULT_GATEWAY_PORT)
    served = {e.group_version for e in obj.status.api_enablements if _serves_imports(e)}
    return Member(
        name=meta.name,
        region=spec.region or DEFAULT,
        zone=spec.zone or next(iter(spec.zones), DEFAULT),
        group=meta.annotations.get(GROUP_ANNOTATION) or DEFAULT,
        gateway_host=host,
        gateway_port=port,
        imports=frozenset(dialect for dialect in Dialect if dialect.api_version in served),
        drained=is_set(meta.annotations.get(DRAIN_ANNOTATION, "")),
        unreachable_since=_lost(obj.status.conditions),
    )


def _lost(conditions: list[_Condition]) -> float | None:
    """Return since when Karmada does not reach the member. Before it has said anything, nothing is lost."""
    for condition in conditions:
        if condition.type == _READY and condition.status != "True":
            return seconds(condition.last_transition_time)
    return None


def _serves_imports(enablement: _Enablement) -> bool:
    return any(resource.kind == "ServiceImport" for resource in enablement.resources)


def flomesh_cluster(raw: bytes) -> FlomeshCluster | None:
    """Read a flomesh Cluster; None while it is being deleted. Raises InvalidObject."""
    obj = msgspec.json.decode(raw, type=_Object)
    if obj.metadata.deletion_timestamp:
        return None
    return FlomeshCluster.parse(msgspec.json.decode(obj.spec), f"Cluster {obj.metadata.name}")


def whole(raw: bytes) -> dict[str, Any]:
    """Keep an object as it is, for those that Towpath writes."""
    return cast("dict[str, Any]", msgspec.json.decode(raw))

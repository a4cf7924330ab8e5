"""From an object's bytes to what is worth keeping of it: one function a kind, for the reflectors.

msgspec reads only the fields that are named here, so what the fleet's objects hold besides costs
neither time nor memory. Much of the rest is the same in many objects (the clusters of a placement, a Service
with one port 80): equal values are kept once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
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
from towpath.model.traffic import TrafficPolicy
from towpath.propagation.claims import Claim, claim_of
from towpath.propagation.policies import OverridePolicy, Policy, Target, read_override, read_policy
from towpath.rules.eligibility import is_set
from towpath.rules.gateway import parse_gateway

_OURS = "towpath.io/"
_READY = "Ready"

_UNSCHEDULABLE = ("NoSchedule", "NoExecute")
_FOLLOWING, _OVERRIDDEN = ("ServiceExport", "GlobalTrafficPolicy"), ("ServiceExport", "Service")

H = TypeVar("H", bound=Hashable)


@lru_cache(maxsize=2048)
def _first(value: Hashable) -> Hashable:
    return value


def _shared(value: H) -> H:
    """Return the one of equal values that is kept already, so that the others can go."""
    return cast(H, _first(value))


class Meta(msgspec.Struct, rename="camel", gc=False):
    """The metadata that decoders look at."""

    name: str
    namespace: str = ""
    uid: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    generation: int = 0


class _Object(msgspec.Struct, gc=False):
    metadata: Meta
    spec: msgspec.Raw = msgspec.Raw(b"{}")
    status: msgspec.Raw = msgspec.Raw(b"{}")


_NONE: Mapping[str, str] = {}


class StoredExport(NamedTuple):
    """A ServiceExport template. ``created`` is RFC 3339 in UTC, so it sorts as text.

    ``annotations`` are those that begin with ``towpath.io/``, ``says`` is the JSON of its status, and
    ``template`` that of the object as overrides see it. ``labels`` are what policies may select it by, and
    ``claim`` is which of them has it, None if none has.
    """

    uid: str
    created: str
    export: Export
    annotations: Mapping[str, str]
    generation: int = 0
    says: bytes = b"{}"
    template: bytes = b""
    labels: Mapping[str, str] = _NONE
    claim: Claim | None = None

    @property
    def status(self) -> Mapping[str, Any]:
        """What its status says now."""
        return _status(self.says)


class StoredService(NamedTuple):
    """A Service template. ``going`` while it is being deleted; the rest as of an export."""

    uid: str
    service: Service
    going: bool
    template: bytes = b""
    labels: Mapping[str, str] = _NONE
    claim: Claim | None = None


class StoredTraffic(NamedTuple):
    """A GlobalTrafficPolicy template. ``says`` is the JSON of its status."""

    uid: str
    policy: TrafficPolicy
    generation: int = 0
    says: bytes = b"{}"
    labels: Mapping[str, str] = _NONE

    @property
    def status(self) -> Mapping[str, Any]:
        """What its status says now."""
        return _status(self.says)


class StoredCluster(NamedTuple):
    """A flomesh Cluster. ``says`` is the JSON of its status."""

    uid: str
    cluster: FlomeshCluster
    generation: int = 0
    says: bytes = b"{}"

    @property
    def status(self) -> Mapping[str, Any]:
        """What its status says now."""
        return _status(self.says)


class StoredMember(NamedTuple):
    """A Karmada Cluster, as derivations and as policies see it."""

    member: Member
    target: Target


class Binding(NamedTuple):
    """What Karmada decided for one template: the clusters it is bound to.

    ``reported`` is what is of interest in what they say of their copies: of a ServiceImport the digest of
    the view that it gives, of a ServiceExport why the cluster itself does not find it valid. ``failed`` is
    what Karmada says of imports that it cannot write, by cluster. ``attached``: it is there, also or only,
    because of another object (propagateDeps).
    """

    api_version: str
    kind: str
    uid: str
    clusters: frozenset[str]
    reported: Mapping[str, str] = _NONE
    failed: Mapping[str, str] = _NONE
    attached: bool = False


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


class _SelectedKind(msgspec.Struct, gc=False):
    kind: str = ""


class _SelectingSpec(msgspec.Struct, rename="camel", gc=False):
    resource_selectors: list[_SelectedKind] | None = None


class _Selecting(msgspec.Struct, gc=False):
    spec: _SelectingSpec = msgspec.field(default_factory=_SelectingSpec)


class _EnabledKind(msgspec.Struct, gc=False):
    kind: str


class _Enablement(msgspec.Struct, rename="camel", gc=False):
    group_version: str
    resources: list[_EnabledKind] = []


class _Taint(msgspec.Struct, gc=False):
    effect: str = ""


class _ClusterSpec(msgspec.Struct, gc=False):
    region: str = ""
    zone: str = ""
    zones: list[str] = []
    provider: str = ""
    taints: list[_Taint] | None = None


class _Condition(msgspec.Struct, rename="camel", gc=False):
    type: str
    status: str
    last_transition_time: str = ""


class _ClusterStatus(msgspec.Struct, rename="camel", gc=False):
    api_enablements: list[_Enablement] = []
    conditions: list[_Condition] = []


class _ClusterObject(msgspec.Struct, gc=False):
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
        _template(raw),
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
        _template(raw),
        meta.labels or _NONE,
        _shared(claim_of(meta.annotations)),
    )


def traffic_policy(raw: bytes) -> StoredTraffic | None:
    """Read a GlobalTrafficPolicy; None while it is being deleted. Raises InvalidObject."""
    obj = msgspec.json.decode(raw, type=_Object)
    meta = obj.metadata
    if meta.deletion_timestamp:
        return None
    what = f"GlobalTrafficPolicy {meta.namespace}/{meta.name}"
    policy = TrafficPolicy.parse(msgspec.json.decode(obj.spec), what)
    stored = StoredTraffic(meta.uid, policy, meta.generation, bytes(obj.status), meta.labels or _NONE)
    _ = stored.status
    return stored


def _template(raw: bytes) -> bytes:
    """Return the JSON of an object without what only the apiserver needs of it."""
    obj = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    obj.pop("status", None)
    metadata = msgspec.json.decode(obj["metadata"], type=dict[str, msgspec.Raw])
    metadata.pop("managedFields", None)
    return msgspec.json.encode({**obj, "metadata": metadata})


def _status(says: bytes) -> dict[str, Any]:
    return msgspec.json.decode(says, type=dict[str, Any])


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
        _failures(obj.status) if resource.kind == "ServiceImport" else _NONE,
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
    return {c.cluster_name: c.applied_message for c in copies if not c.applied and c.applied_message} or _NONE


def refusals(status: bytes) -> Iterator[tuple[str, str]]:
    """Yield what each cluster says that does not find its ServiceExport valid."""
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


def karmada_cluster(raw: bytes) -> StoredMember | None:
    """Read all that counts of a Karmada Cluster; None while it leaves."""
    found = member(raw)
    return StoredMember(found, target(raw)) if found else None


def target(raw: bytes) -> Target:
    """Read a Karmada Cluster as affinities see it."""
    obj = msgspec.json.decode(raw, type=_ClusterObject)
    spec = obj.spec
    return Target(
        obj.metadata.name,
        obj.metadata.labels,
        spec.provider,
        spec.region,
        tuple(spec.zones or ([spec.zone] if spec.zone else [])),
        any(taint.effect in _UNSCHEDULABLE for taint in spec.taints or ()),
    )


def _lost(conditions: list[_Condition]) -> float | None:
    """Return since when Karmada does not reach the member. Before it has said anything, nothing is lost."""
    for condition in conditions:
        if condition.type == _READY and condition.status != "True":
            return seconds(condition.last_transition_time)
    return None


def _serves_imports(enablement: _Enablement) -> bool:
    return any(resource.kind == "ServiceImport" for resource in enablement.resources)


def flomesh_cluster(raw: bytes) -> StoredCluster | None:
    """Read a flomesh Cluster; None while it is being deleted. Raises InvalidObject."""
    obj = msgspec.json.decode(raw, type=_Object)
    meta = obj.metadata
    if meta.deletion_timestamp:
        return None
    cluster = FlomeshCluster.parse(msgspec.json.decode(obj.spec), f"Cluster {meta.name}")
    stored = StoredCluster(meta.uid, cluster, meta.generation, bytes(obj.status))
    _ = stored.status
    return stored


def policy(raw: bytes) -> Policy | None:
    """Read a user's (Cluster)PropagationPolicy; None if it selects nothing of ours. Raises InvalidObject."""
    if not _concerns(raw, _FOLLOWING):
        return None
    return read_policy(msgspec.json.decode(raw))


def override(raw: bytes) -> OverridePolicy | None:
    """Read a user's (Cluster)OverridePolicy; None if it changes nothing of ours. Raises InvalidObject."""
    if not _concerns(raw, _OVERRIDDEN):
        return None
    return read_override(msgspec.json.decode(raw))


def _concerns(raw: bytes, kinds: Collection[str]) -> bool:
    """Tell whether a policy can select one of these kinds; without selectors it selects everything."""
    selectors = msgspec.json.decode(raw, type=_Selecting).spec.resource_selectors
    return not selectors or any(one.kind in kinds for one in selectors)


def whole(raw: bytes) -> dict[str, Any]:
    """Keep an object as it is, for those that Towpath writes."""
    return cast("dict[str, Any]", msgspec.json.decode(raw))

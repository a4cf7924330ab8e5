"""Karmada's Clusters: as members of the derivation, and as targets of policies."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from towpath.karmada.decode.metadata import Meta
from towpath.model.cluster import (
    DATA_PATH_LABEL,
    DATA_PATH_NET,
    DRAIN_ANNOTATION,
    GATEWAY_ANNOTATION,
    GATEWAY_ROUTE_ANNOTATION,
    GROUP_ANNOTATION,
    Member,
)
from towpath.model.keys import DEFAULT, Dialect
from towpath.model.times import seconds
from towpath.propagation.policies import Target
from towpath.rules.eligibility import is_set
from towpath.rules.gateway import parse_gateway
from towpath.rules.gateway_route import parse_gateway_route

_READY, _TRUE = "Ready", "True"
_UNSCHEDULABLE = ("NoSchedule", "NoExecute")


class StoredMember(NamedTuple):
    """A Karmada Cluster, for derivations and for policies."""

    member: Member
    target: Target


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
    id: str = ""
    taints: list[_Taint] | None = None


class _Condition(msgspec.Struct, rename="camel", gc=False):
    type: str
    status: str
    last_transition_time: str = ""


_NOT_REPORTED = _Condition(_READY, "")


class _ClusterStatus(msgspec.Struct, rename="camel", gc=False):
    api_enablements: list[_Enablement] = []
    conditions: list[_Condition] = []


class _ClusterObject(msgspec.Struct, gc=False):
    metadata: Meta
    spec: _ClusterSpec = msgspec.field(default_factory=_ClusterSpec)
    status: _ClusterStatus = msgspec.field(default_factory=_ClusterStatus)


def karmada_cluster(raw: bytes) -> StoredMember | None:
    """Decode a Karmada Cluster; None while it is being deleted."""
    found = member(raw)
    return StoredMember(found, target(raw)) if found else None


def member(raw: bytes) -> Member | None:
    """Decode a Karmada Cluster as a member; None while it is being deleted."""
    obj = msgspec.json.decode(raw, type=_ClusterObject)
    meta, spec = obj.metadata, obj.spec
    if meta.deletion_timestamp:
        return None
    ready = next((c for c in obj.status.conditions if c.type == _READY), _NOT_REPORTED)
    since, is_ready = seconds(ready.last_transition_time), ready.status == _TRUE
    gateway = parse_gateway(meta.annotations.get(GATEWAY_ANNOTATION, ""))
    route_text = meta.annotations.get(GATEWAY_ROUTE_ANNOTATION, "").strip()
    route = parse_gateway_route(route_text)
    return Member(
        name=meta.name,
        region=spec.region or DEFAULT,
        zone=spec.zone or next(iter(spec.zones), DEFAULT),
        group=meta.annotations.get(GROUP_ANNOTATION) or DEFAULT,
        gateway_host=gateway.host,
        gateway_port=gateway.port,
        gateway_route=route_text,
        serves_routes=route is None or _serves(obj, route.kind.api_version, route.kind),
        imports=frozenset(d for d in Dialect if _serves(obj, d.api_version, "ServiceImport")),
        data_path=meta.labels.get(DATA_PATH_LABEL) == DATA_PATH_NET,
        drained=is_set(meta.annotations.get(DRAIN_ANNOTATION, "")),
        unreachable_since=None if is_ready else since,
        ready_since=since if is_ready else None,
        uid=spec.id,
    )


def target(raw: bytes) -> Target:
    """Decode a Karmada Cluster as a target of affinities."""
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


def _serves(cluster: _ClusterObject, version: str, kind: str) -> bool:
    return any(
        enabled.group_version == version and any(resource.kind == kind for resource in enabled.resources)
        for enabled in cluster.status.api_enablements
    )

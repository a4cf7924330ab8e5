"""Karmada's Clusters: as members of the derivation, and as targets of policies."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from towpath.karmada.decode.metadata import Meta
from towpath.model.cluster import (
    DRAIN_ANNOTATION,
    GATEWAY_ANNOTATION,
    GROUP_ANNOTATION,
    Member,
)
from towpath.model.keys import DEFAULT, Dialect
from towpath.model.times import seconds
from towpath.propagation.policies import Target
from towpath.rules.eligibility import is_set
from towpath.rules.gateway import parse_gateway

_READY = "Ready"
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
    gateway = parse_gateway(meta.annotations.get(GATEWAY_ANNOTATION, ""))
    served = {e.group_version for e in obj.status.api_enablements if _serves_imports(e)}
    return Member(
        name=meta.name,
        region=spec.region or DEFAULT,
        zone=spec.zone or next(iter(spec.zones), DEFAULT),
        group=meta.annotations.get(GROUP_ANNOTATION) or DEFAULT,
        gateway_host=gateway.host,
        gateway_port=gateway.port,
        imports=frozenset(dialect for dialect in Dialect if dialect.api_version in served),
        drained=is_set(meta.annotations.get(DRAIN_ANNOTATION, "")),
        unreachable_since=_lost(obj.status.conditions),
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


def _lost(conditions: list[_Condition]) -> float | None:
    """Return since when Karmada has not reached the member; None before Karmada has reported anything."""
    for condition in conditions:
        if condition.type == _READY and condition.status != "True":
            return seconds(condition.last_transition_time)
    return None


def _serves_imports(enablement: _Enablement) -> bool:
    return any(resource.kind == "ServiceImport" for resource in enablement.resources)

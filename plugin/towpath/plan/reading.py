"""Manifests as files hold them, sorted by what they are to a derivation and read by the same decoders.

Files are read as ``kubectl apply`` would apply them, one after the other: of two objects of one kind and name
the later replaces the earlier. Replaced policies are remembered all the same, because what they claimed stays
where it was (facts T9). Kinds that say nothing to Towpath are passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import msgspec

from towpath.errors import InvalidObject
from towpath.karmada import decode
from towpath.karmada.decode import Binding, StoredExport, StoredService
from towpath.model.cluster import FlomeshCluster, Member, changed
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.traffic import TrafficPolicy
from towpath.plan.policies import OverridePolicy, Policy, Target, read_override, read_policy
from towpath.render import MANAGED_BY

T = TypeVar("T")
Manifest = dict[str, Any]
_DIALECTS = {dialect.value: dialect for dialect in Dialect}
_CLUSTER_WIDE = {"Cluster", "ClusterPropagationPolicy", "ClusterOverridePolicy", "Namespace"}
_KEPT = ("uid", "creationTimestamp")
_UNSCHEDULABLE = {"NoSchedule", "NoExecute"}


class Id(NamedTuple):
    """What makes an object one and the same: the API version is not part of it."""

    group: str
    kind: str
    namespace: str
    name: str


class Named(NamedTuple):
    """Namespace and name."""

    namespace: str
    name: str


@dataclass
class Reading:
    """Everything that was read. ``templates`` are the manifests behind exports, services and policies."""

    members: dict[str, Member] = field(default_factory=dict)
    targets: dict[str, Target] = field(default_factory=dict)
    silent: list[str] = field(default_factory=list)
    """Members that do not say which APIs they serve."""
    gateways: dict[str, FlomeshCluster] = field(default_factory=dict)
    exports: dict[ServiceKey, StoredExport] = field(default_factory=dict)
    services: dict[Named, StoredService] = field(default_factory=dict)
    traffic: dict[ServiceKey, TrafficPolicy] = field(default_factory=dict)
    policies: dict[Id, list[Policy]] = field(default_factory=dict)
    """Every version of a policy, the one in force last."""
    overrides: dict[Id, OverridePolicy] = field(default_factory=dict)
    bindings: dict[Id, Binding] = field(default_factory=dict)
    templates: dict[Id, Manifest] = field(default_factory=dict)
    given: set[Id] = field(default_factory=set)
    """What ``read_on`` has put on top of what was there."""

    def forget_clusters(self) -> None:
        """Forget every cluster: others take their place."""
        for clusters in (self.members, self.targets, self.silent, self.gateways):
            clusters.clear()


def read(objects: Iterable[Mapping[str, Any]], *, namespace: str = "default") -> Reading:
    """Read manifests. ``namespace`` is that of objects that name none.

    Raises InvalidObject, naming object and field.
    """
    reading = Reading()
    read_on(reading, objects, namespace=namespace)
    reading.given.clear()
    return reading


def read_on(reading: Reading, objects: Iterable[Mapping[str, Any]], *, namespace: str = "default") -> None:
    """Read more manifests, as if they were applied to what was read before. Raises InvalidObject."""
    for obj in objects:
        plain = _plain(obj, namespace)
        one = identity(plain)
        reading.given.add(one)
        _take(reading, one, _identified(plain, reading.templates.get(one)))


def _take(reading: Reading, one: Id, obj: Manifest) -> None:
    ours = all(_part(obj["metadata"], "labels").get(name) == value for name, value in MANAGED_BY.items())
    match one.group, one.kind:
        case "cluster.karmada.io", "Cluster":
            _take_member(reading, obj)
        case group, "Cluster" if group in _DIALECTS:
            _put(reading.gateways, one.name, _decoded(decode.flomesh_cluster, obj))
        case group, "ServiceExport" if group in _DIALECTS:
            key = ServiceKey(_DIALECTS[group], one.namespace, one.name)
            reading.templates[one] = obj
            _put(reading.exports, key, _decoded(decode.service_export, obj))
        case group, "GlobalTrafficPolicy" if group in _DIALECTS:
            key = ServiceKey(_DIALECTS[group], one.namespace, one.name)
            reading.templates[one] = obj
            reading.traffic[key] = TrafficPolicy.parse(obj.get("spec") or {}, what(obj))
        case "", "Service":
            reading.templates[one] = obj
            reading.services[Named(one.namespace, one.name)] = _decoded(decode.service, obj)
        case "policy.karmada.io", "PropagationPolicy" | "ClusterPropagationPolicy" if not ours:
            reading.policies.setdefault(one, []).append(read_policy(obj))
        case "policy.karmada.io", "OverridePolicy" | "ClusterOverridePolicy" if not ours:
            reading.overrides[one] = read_override(obj)
        case "work.karmada.io", "ResourceBinding":
            _put(reading.bindings, one, _decoded(decode.binding, obj))


def _take_member(reading: Reading, obj: Manifest) -> None:
    member = _decoded(decode.member, obj)
    if member is None:
        return
    spec = _part(obj, "spec")
    if not _part(obj, "status").get("apiEnablements"):
        reading.silent.append(member.name)
        member = changed(member, imports=frozenset(Dialect))
    taints = spec.get("taints")
    reading.members[member.name] = member
    reading.targets[member.name] = Target(
        member.name,
        {name: str(value) for name, value in _part(obj["metadata"], "labels").items()},
        str(spec.get("provider", "")),
        str(spec.get("region", "")),
        tuple(map(str, spec.get("zones") or ([spec["zone"]] if spec.get("zone") else []))),
        any(isinstance(t, dict) and t.get("effect") in _UNSCHEDULABLE for t in taints or ()),
    )


def identity(obj: Mapping[str, Any]) -> Id:
    """Return what makes an object one and the same."""
    meta, group = obj["metadata"], obj["apiVersion"].rpartition("/")[0]
    return Id(group, obj["kind"], meta.get("namespace", ""), meta["name"])


def what(obj: Mapping[str, Any]) -> str:
    """Return how errors name an object."""
    meta = obj["metadata"]
    name = f"{meta['namespace']}/{meta['name']}" if meta.get("namespace") else meta["name"]
    return f"{obj['kind']} {name}"


def _plain(obj: Mapping[str, Any], namespace: str) -> Manifest:
    """Return an object as the apiserver would have it: JSON's types, nothing null, in a namespace."""
    try:
        plain = msgspec.json.decode(msgspec.json.encode(obj))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidObject(f"{obj.get('kind')} {_name(obj)}: not JSON: {error}") from None
    pruned: Manifest = _pruned(plain)
    match pruned:
        case {"apiVersion": str(), "kind": str(kind), "metadata": {"name": str()} as meta}:
            if not isinstance(meta.get("namespace", ""), str):
                raise InvalidObject(f"{kind} {meta['name']}: metadata.namespace: not a string")
            if kind not in _CLUSTER_WIDE and not meta.get("namespace"):
                return {**pruned, "metadata": {**meta, "namespace": namespace}}
            return pruned
    raise InvalidObject(f"{obj.get('kind')} {_name(obj)}: it needs apiVersion, kind and metadata.name")


def _identified(obj: Manifest, before: Manifest | None) -> Manifest:
    """Return an object that is applied over another: it stays the one that it was."""
    if before is None:
        return obj
    kept = {name: before["metadata"][name] for name in _KEPT if name in before["metadata"]}
    return {**obj, "metadata": {**kept, **obj["metadata"]}}


def _name(obj: Mapping[str, Any]) -> str:
    return str(_part(obj, "metadata").get("name", "without a name"))


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _pruned(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_pruned(inner) for inner in value]
    return value


def _decoded(decoder: Callable[[bytes], T], obj: Manifest) -> T:
    """Read an object by one of the reflectors' decoders. Raises InvalidObject."""
    try:
        return decoder(msgspec.json.encode(obj))
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$.")
        where = place.removesuffix("`")
        raise InvalidObject(f"{what(obj)}: {where + ': ' if where else ''}{reason.lower()}") from None


def _put(into: dict[Any, T], key: object, value: T | None) -> None:
    """Remember what was read; None is what a decoder says of an object that is being deleted."""
    into.pop(key, None)
    if value is not None:
        into[key] = value


def _part(obj: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = obj.get(name)
    return part if isinstance(part, dict) else {}

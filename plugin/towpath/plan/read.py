"""Manifests as files hold them, sorted by what they are to a derivation and read by the same decoders.

Files are read as ``kubectl apply`` would apply them, one after the other: of two objects of one kind and name
the later replaces the earlier, except for the fields that ``kubectl`` keeps (``apply``). Replaced policies
are remembered, because what they claimed stays where it was (docs/karmada-behaviour.md, "frozen templates").
Kinds that do not concern Towpath are skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import jsonpatch
import msgspec

from towpath.errors import InvalidObject
from towpath.karmada import decode
from towpath.karmada.decode import Binding, StoredExport, StoredService, StoredTraffic
from towpath.karmada.installation import INSTALLATION, NAMESPACE
from towpath.model.cluster import FlomeshCluster, Member, changed
from towpath.model.installation import PathScope
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.ownership import is_derived, is_marked
from towpath.model.service import MAX_PORT
from towpath.plan.apply import over
from towpath.plan.objects import Id, Manifest, Named, identity, part, plain, title
from towpath.plan.schema import Kind, Problem, Schema, missing_version, problems, schema_of
from towpath.plan.service_ports import port_problems
from towpath.propagation.policies import OverridePolicy, Policy, Target, read_override, read_policy
from towpath.rules.defaults import patch_of_missing
from towpath.text import one_line

T = TypeVar("T")
_MARKER = "ConfigMap", INSTALLATION, NAMESPACE
NO_SCHEMAS: Mapping[Kind, Schema] = {}


@dataclass
class Reading:
    """Everything that was read. ``templates`` are the manifests behind exports, services and policies."""

    members: dict[str, Member] = field(default_factory=dict)
    targets: dict[str, Target] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    """Members that do not say which APIs they serve."""
    gateways: dict[Dialect, dict[str, FlomeshCluster]] = field(
        default_factory=lambda: {dialect: {} for dialect in Dialect}
    )
    exports: dict[ServiceKey, StoredExport] = field(default_factory=dict)
    services: dict[Named, StoredService] = field(default_factory=dict)
    traffic: dict[ServiceKey, StoredTraffic] = field(default_factory=dict)
    policies: dict[Id, list[Policy]] = field(default_factory=dict)
    """Every version of a policy, the one in force last."""
    overrides: dict[Id, OverridePolicy] = field(default_factory=dict)
    bindings: dict[Id, Binding] = field(default_factory=dict)
    imports: dict[ServiceKey, Manifest] = field(default_factory=dict)
    """The derived ServiceImports of a live Karmada: the clusters in them have had export and Service."""
    templates: dict[Id, Manifest] = field(default_factory=dict)
    """The manifests of Clusters, namespaces, exports, services and traffic policies."""
    given: dict[Id, Manifest] = field(default_factory=dict)
    """What ``read_on`` has put on top of what was there."""
    edited: set[ServiceKey] = field(default_factory=set)
    """Exports that ``read_on`` has given another spec."""
    path_scope: PathScope = PathScope.SHARED
    """Which paths exports may have where Towpath is installed."""
    notes: list[str] = field(default_factory=list)
    """What was passed over and why, for people."""

    @property
    def has_clusters(self) -> bool:
        """Tell whether there is any cluster, of any kind."""
        return bool(self.members) or any(self.gateways.values())

    def forget_clusters(self) -> None:
        """Forget every cluster: others take their place."""
        self.members.clear()
        self.targets.clear()
        self.silent.clear()
        for gateways in self.gateways.values():
            gateways.clear()

    def gateway(self, name: str) -> FlomeshCluster | None:
        """Return the flomesh Cluster of a name; of two the one that the plugin takes."""
        return next((named[name] for named in self.gateways.values() if name in named), None)


def read(objects: Iterable[Mapping[str, Any]], *, namespace: str = "default") -> Reading:
    """Read manifests. ``namespace`` is that of objects that name none.

    Raises InvalidObject, naming object and field.
    """
    reading = Reading()
    read_on(reading, objects, namespace=namespace)
    reading.given.clear()
    return reading


def read_live(objects: Iterable[Mapping[str, Any]]) -> Reading:
    """Read what a Karmada holds. What cannot be read is noted and left out, as the plugin does it."""
    reading = Reading()
    for obj in objects:
        try:
            read_on(reading, [obj])
            if obj["kind"] == "ServiceImport" and is_marked(obj):
                reading.imports[_key(identity(plain(obj, "default")))] = dict(obj)
        except InvalidObject as error:
            reading.notes.append(f"{one_line(str(error))} The object in Karmada is ignored.")
    # Of these Karmada will say what they serve: until then the plugin brings them nothing.
    for name in reading.silent:
        reading.members[name] = changed(reading.members[name], imports=frozenset(), serves_routes=False)
    reading.silent.clear()
    reading.given.clear()
    return reading


def read_on(
    reading: Reading,
    objects: Iterable[Mapping[str, Any]],
    *,
    namespace: str = "default",
    schemas: Mapping[Kind, Schema] = NO_SCHEMAS,
) -> None:
    """Read more manifests, as if they were applied to what was read before.

    Raises InvalidObject, also for what the apiserver refuses by one of the ``schemas``.
    """
    for obj in objects:
        group, kind = _group_and_kind(obj)
        _check_schema(obj, schemas, namespace)
        take = _READERS.get((group, kind))
        if take is not None:
            made = plain(obj, namespace)
            id_ = identity(made)
            take(reading, id_, over(made, reading.templates.get(id_), reading.given.get(id_)))
            reading.given[id_] = made
        elif (kind, obj["metadata"]["name"], obj["metadata"].get("namespace")) == _MARKER:
            reading.path_scope = PathScope.of(part(obj, "data"))
        elif kind in _OF_DIALECTS:
            reading.notes.append(
                f"{one_line(title(obj))}: Ignored, its API group {group!r} is not {' or '.join(Dialect)}."
            )


def _check_schema(obj: Mapping[str, Any], schemas: Mapping[Kind, Schema], namespace: str) -> None:
    """Refuse what the apiserver refuses, after the defaults that Towpath's webhook fills in."""
    if schemas and (_group_and_kind(obj)) == ("", "Service"):
        _refuse(obj, port_problems(plain(obj, namespace)))
    if missing := missing_version(obj, schemas):
        raise InvalidObject(f"{title(obj)}: {missing}")
    schema = schema_of(obj, schemas)
    if schema is not None:
        applied = plain(obj, namespace)
        applied = jsonpatch.apply_patch(applied, patch_of_missing(applied))
        _refuse(applied, problems(applied, schema))


def _refuse(obj: Mapping[str, Any], found: Iterable[Problem]) -> None:
    if texts := list(map(str, found)):
        raise InvalidObject(f"{title(obj)}: {'; '.join(texts)}")


def _group_and_kind(obj: Mapping[str, Any]) -> tuple[str, str]:
    match obj:
        case {"apiVersion": str(version), "kind": str(kind), "metadata": {"name": str()}}:
            return version.rpartition("/")[0], kind
    raise InvalidObject("Not a Kubernetes object. Set apiVersion, kind and metadata.name.")


def _take_member(reading: Reading, id_: Id, obj: Manifest) -> None:
    for known in (reading.members, reading.targets):
        known.pop(id_.name, None)
    reading.silent.discard(id_.name)
    reading.templates[id_] = obj
    member = _decoded(decode.member, obj)
    if member is None:
        return
    if not part(obj, "status").get("apiEnablements"):
        reading.silent.add(member.name)
        member = changed(member, imports=frozenset(Dialect), serves_routes=True)
    reading.members[member.name] = member
    reading.targets[member.name] = _decoded(decode.target, obj)


def _take_gateway(reading: Reading, id_: Id, obj: Manifest) -> None:
    stored = _decoded(decode.flomesh_cluster, obj)
    _put(reading.gateways[Dialect(id_.group)], id_.name, stored and stored.cluster)


def _take_export(reading: Reading, id_: Id, obj: Manifest) -> None:
    stored = _decoded(decode.service_export, obj)
    for index, rule in enumerate(stored.export.rules if stored else ()):
        _check_port(obj, f"spec.rules[{index}].portNumber", rule.port_number)
    reading.templates[id_] = obj
    before = reading.exports.get(_key(id_))
    if before is not None and stored is not None and before.export != stored.export:
        reading.edited.add(_key(id_))
    _put(reading.exports, _key(id_), stored)


def _take_service(reading: Reading, id_: Id, obj: Manifest) -> None:
    stored = _decoded(decode.service, obj)
    for index, port in enumerate(stored.service.ports):
        _check_port(obj, f"spec.ports[{index}].port", port.port)
    reading.templates[id_] = obj
    reading.services[Named(id_.namespace, id_.name)] = stored


def _take_namespace(reading: Reading, id_: Id, obj: Manifest) -> None:
    reading.templates[id_] = obj


def _take_traffic(reading: Reading, id_: Id, obj: Manifest) -> None:
    stored = _decoded(decode.traffic_policy, obj)
    reading.templates[id_] = obj
    _put(reading.traffic, _key(id_), stored)


def _take_policy(reading: Reading, id_: Id, obj: Manifest) -> None:
    if not is_derived(obj):
        reading.policies.setdefault(id_, []).append(read_policy(obj))


def _take_override(reading: Reading, id_: Id, obj: Manifest) -> None:
    if not is_derived(obj):
        reading.overrides[id_] = read_override(obj)


def _take_binding(reading: Reading, id_: Id, obj: Manifest) -> None:
    _put(reading.bindings, id_, _decoded(decode.binding, obj))


_READERS: Mapping[tuple[str, str], Callable[[Reading, Id, Manifest], None]] = {
    ("cluster.karmada.io", "Cluster"): _take_member,
    ("", "Namespace"): _take_namespace,
    ("", "Service"): _take_service,
    ("policy.karmada.io", "PropagationPolicy"): _take_policy,
    ("policy.karmada.io", "ClusterPropagationPolicy"): _take_policy,
    ("policy.karmada.io", "OverridePolicy"): _take_override,
    ("policy.karmada.io", "ClusterOverridePolicy"): _take_override,
    ("work.karmada.io", "ResourceBinding"): _take_binding,
    **{(dialect.value, "Cluster"): _take_gateway for dialect in Dialect},
    **{(dialect.value, "ServiceExport"): _take_export for dialect in Dialect},
    **{(dialect.value, "GlobalTrafficPolicy"): _take_traffic for dialect in Dialect},
}
_OF_DIALECTS = {"ServiceExport", "GlobalTrafficPolicy"}


def _key(id_: Id) -> ServiceKey:
    return ServiceKey(Dialect(id_.group), id_.namespace, id_.name)


def _check_port(obj: Manifest, place: str, number: int) -> None:
    if not 1 <= number <= MAX_PORT:
        raise InvalidObject(
            f"{title(obj)}: {place}: Invalid value {number}: must be a number from 1 to {MAX_PORT}."
        )


def _decoded(decoder: Callable[[bytes], T], obj: Manifest) -> T:
    """Read an object by one of the reflectors' decoders. Raises InvalidObject."""
    try:
        return decoder(msgspec.json.encode(obj))
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$.")
        where = place.removesuffix("`")
        raise InvalidObject(f"{title(obj)}: {where + ': ' if where else ''}{reason}.") from None
    except ValueError as error:  # a number beyond what Python reads
        raise InvalidObject(f"{title(obj)}: {error}.") from None


def _put(into: dict[Any, T], key: object, value: T | None) -> None:
    """Remember what was read; None is what a decoder says of an object that is being deleted."""
    into.pop(key, None)
    if value is not None:
        into[key] = value

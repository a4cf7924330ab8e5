"""What would change: the objects that Karmada holds against those that Towpath would write, as a text.

Judged by the very stages that the controller writes in; shown is the last word on each object. Of a live
object only what Towpath has a say in is shown: the fields that it wants, and those that it owns and wants no
more.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from towpath.derivation.drift import needs_apply
from towpath.derivation.followpolicy import becoming
from towpath.derivation.render import POLICY_API
from towpath.derivation.routes import LiveRoute, route_stages
from towpath.derivation.stages import Current, Write, is_foreign, stages
from towpath.model import manifest
from towpath.model.keys import ServiceKey
from towpath.model.ownership import (
    EXPORT_PREFIX,
    FIELD_MANAGER,
    TRAFFIC_PREFIX,
    import_policy_name,
    imported_service,
    is_marked,
    route_name,
)
from towpath.model.world import AppliedPolicy, ExportedService
from towpath.plan.objects import Id, identity
from towpath.plan.result import Plan, ServicePlan
from towpath.rules.gateway_route import RouteKind

Object = Mapping[str, Any]
_NAME_AND_SPEC: Object = {
    "apiVersion": None,
    "kind": None,
    "metadata": {"name": None, "namespace": None},
    "spec": None,
}
_POLICY_GROUP = POLICY_API.partition("/")[0]


class _Affinity(msgspec.Struct, rename="camel"):
    cluster_names: list[str] | None = None


class _Placement(msgspec.Struct, frozen=True, rename="camel"):
    cluster_affinity: _Affinity | None = None


class _Rule(msgspec.Struct, rename="camel"):
    target_cluster: _Affinity | None = None


class _Endpoint(msgspec.Struct, rename="camel"):
    cluster_key: str


class _Port(msgspec.Struct):
    endpoints: list[_Endpoint] | None = None


class _Spec(msgspec.Struct, rename="camel"):
    """What decides about the stages in which objects are written."""

    ports: list[_Port] | None = None
    placement: _Placement = _Placement()
    override_rules: list[_Rule] | None = None


class _Derived(msgspec.Struct):
    spec: _Spec


def difference(plan: Plan, live: Iterable[Object]) -> tuple[str, ...]:
    """Return a unified diff for each object that would change.

    ``live`` are the derived objects as Karmada has them.
    """
    held = {identity(obj): obj for obj in live}
    shown = map(_shown, (*_changes(plan, held), *_of_following(plan, held)))
    return tuple(text for text in shown if text)


def compared(plan: Plan, there: Sequence[Object]) -> tuple[Plan, tuple[str, ...]]:
    """Return a plan with what is in its way, and what it would change. ``there`` is what Karmada holds."""
    held = derived_in(there)
    return replace(plan, notes=(*plan.notes, *obstacles(plan, held))), difference(plan, held)


def derived_in(objects: Iterable[Object]) -> list[Object]:
    """Return the objects that Towpath may have made: all ServiceImports, and the policies with its marks."""
    return [obj for obj in objects if obj["kind"] == "ServiceImport" or _is_ours(obj)]


def _is_ours(obj: Object) -> bool:
    return obj["kind"] in {"PropagationPolicy", "OverridePolicy", *RouteKind} and is_marked(obj)


def obstacles(plan: Plan, live: Iterable[Object]) -> tuple[str, ...]:
    """Return what keeps Towpath from writing: ServiceImports of somebody else."""
    foreign = {identity(obj) for obj in live if obj["kind"] == "ServiceImport" and is_foreign(obj)}
    return tuple(
        f"ServiceImport {key}: Not created by Towpath, so it stays and nothing is written. Delete it."
        for key in (planned.service.key for planned in plan.services)
        if _import_id(key) in foreign
    )


def _changes(plan: Plan, held: Mapping[Id, Object]) -> Iterator[Write]:
    for planned in plan.services:
        last: dict[Id, Write] = {}
        for stage in stages(_live(planned, held), planned.rendered):
            for change in stage:
                last[identity(change.wanted or change.live or {})] = change
        for change in _of_routes(planned, held):
            last[identity(change.wanted or change.live or {})] = change
        for which, change in last.items():
            there = held.get(which)
            if there or change.wanted:  # else it comes and goes on the way
                yield Write(there, change.wanted)


def _of_routes(planned: ServicePlan, held: Mapping[Id, Object]) -> Iterator[Write]:
    """Yield what becomes of the routes on members' own gateways."""
    service = planned.service
    for kind in RouteKind:
        group, name = kind.api_version.partition("/")[0], route_name(kind, service.key.name)
        places = ((group, kind), (_POLICY_GROUP, "PropagationPolicy"), (_POLICY_GROUP, "OverridePolicy"))
        live = LiveRoute(*(held.get(Id(place, of, service.key.namespace, name)) for place, of in places))
        for stage in route_stages(service.key, service.uid, kind, planned.routes, live, arrived=True):
            yield from stage


def _of_following(plan: Plan, held: Mapping[Id, Object]) -> Iterator[Write]:
    """Yield what becomes of the policies by which exports and traffic policies follow."""
    owners: list[tuple[str, ExportedService | AppliedPolicy, Object | None]] = [
        *((EXPORT_PREFIX, planned.service, planned.following) for planned in plan.services),
        *((TRAFFIC_PREFIX, planned.applied, planned.following) for planned in plan.traffic),
    ]
    planned: set[Id] = set()
    uids: dict[tuple[str, str], set[str]] = {}
    for _, owner, _ in owners:
        uids.setdefault((owner.key.namespace, owner.key.name), set()).add(owner.uid)
    for prefix, owner, following in owners:
        key, selected = owner.key, owner.selected
        which = Id(_POLICY_GROUP, "PropagationPolicy", key.namespace, f"{prefix}{key.name}")
        there = held.get(which)
        become = becoming(there, following, uids[key.namespace, key.name] - {owner.uid}, selected=selected)
        if which not in planned and needs_apply(there, become):
            planned.add(which)  # of two API groups' one goes by the name
            yield Write(there, become)


def _live(planned: ServicePlan, held: Mapping[Id, Object]) -> Current:
    key: ServiceKey = planned.service.key
    template = held.get(_import_id(key))
    propagation = held.get(Id(_POLICY_GROUP, "PropagationPolicy", key.namespace, import_policy_name(key)))
    overrides = (_sound(obj) for which, obj in held.items() if _is_of(which, key))
    return Current(
        template and _sound(template),
        propagation and _sound(propagation),
        {obj["metadata"]["name"]: obj for obj in overrides},
    )


def _sound(obj: Object) -> Object:
    """Return a derived object in a shape that ``changes`` knows: it may have been edited, under any CRD."""
    try:
        spec = msgspec.convert(obj, _Derived).spec
    except msgspec.ValidationError:
        spec = None
    sound = spec is not None and (obj["kind"] != "ServiceImport" or spec.ports is not None)
    return obj if sound else {**obj, "spec": {"overrideRules": [], "ports": []}}


def _import_id(key: ServiceKey) -> Id:
    return Id(key.dialect.value, "ServiceImport", key.namespace, key.name)


def _is_of(which: Id, key: ServiceKey) -> bool:
    """Tell whether this is one of a service's OverridePolicies."""
    return (
        which.kind == "OverridePolicy"
        and which.namespace == key.namespace
        and imported_service(which.name) == key.name
    )


def _shown(change: Write) -> str:
    live, wanted = change
    which = identity(wanted or live or {})
    name = f"{which.kind} {which.namespace}/{which.name}"
    before = _lines(_shaped(live, wanted or _NAME_AND_SPEC, _owned(live))) if live else []
    after = _lines(wanted) if wanted else []
    return "".join(difflib.unified_diff(before, after, f"live: {name}", f"plan: {name}"))


def _lines(obj: object) -> list[str]:
    return manifest.dump(obj, in_order=False).splitlines(keepends=True)


def _owned(live: Object | None) -> Mapping[str, Any]:
    """Return the fields that are Towpath's (FieldsV1), empty if the apiserver does not say."""
    entries = live["metadata"].get("managedFields") or () if live else ()
    ours = (e for e in entries if e.get("manager") == FIELD_MANAGER and not e.get("subresource"))
    return next((entry.get("fieldsV1") or {} for entry in ours), {})


def _shaped(live: object, wanted: object, owned: Mapping[str, Any]) -> Any:
    """Return a live object without what is none of our business."""
    if isinstance(live, Mapping) and isinstance(wanted, Mapping):
        names = [name for name in live if name in wanted or f"f:{name}" in owned]
        return {n: _shaped(live[n], wanted.get(n, live[n]), owned.get(f"f:{n}") or {}) for n in names}
    if isinstance(live, list) and isinstance(wanted, list):
        return [_shaped(a, b, {}) for a, b in zip(live, [*wanted, *live[len(wanted) :]], strict=False)]
    return live

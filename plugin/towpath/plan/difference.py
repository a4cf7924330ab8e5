"""What would change: the objects that Karmada holds against those that Towpath would write, as a text.

Judged by the very stages that the controller writes in; shown is the last word on each object. Of a live
object only what Towpath has a say in is shown: the fields that it wants, and those that it owns and wants no
more.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from towpath import manifests
from towpath.changes import Change, Live, changes, is_foreign
from towpath.following import EXPORT, TRAFFIC
from towpath.model.keys import ServiceKey
from towpath.plan.objects import Id, identity
from towpath.plan.outcome import Plan, ServicePlan
from towpath.render import POLICY_API, policy_name, service_of_policy
from towpath.sameness import MANAGER, is_as_wanted

Object = Mapping[str, Any]
_NAME_AND_SPEC: Object = {
    "apiVersion": None,
    "kind": None,
    "metadata": {"name": None, "namespace": None},
    "spec": None,
}
_NO_RULES: Object = {"overrideRules": []}
_POLICY_GROUP = POLICY_API.partition("/")[0]


def difference(plan: Plan, live: Iterable[Object]) -> tuple[str, ...]:
    """Return a unified diff for each object that would change.

    ``live`` are the derived objects as Karmada has them.
    """
    held = {identity(obj): obj for obj in live}
    shown = map(_shown, (*_changes(plan, held), *_of_following(plan, held)))
    return tuple(text for text in shown if text)


def obstacles(plan: Plan, live: Iterable[Object]) -> tuple[str, ...]:
    """Return what keeps Towpath from writing: ServiceImports of somebody else."""
    foreign = {identity(obj) for obj in live if obj["kind"] == "ServiceImport" and is_foreign(obj)}
    return tuple(
        f"ServiceImport {key} is not Towpath's: it stays as it is, and nothing is written until it is deleted"
        for key in (one.service.key for one in plan.services)
        if _import_id(key) in foreign
    )


def _changes(plan: Plan, held: Mapping[Id, Object]) -> Iterator[Change]:
    for one in plan.services:
        last: dict[Id, Change] = {}
        for stage in changes(_live(one, held), one.rendered):
            for change in stage:
                last[identity(change.wanted or change.live or {})] = change
        yield from (Change(held.get(which), change.wanted) for which, change in last.items())


def _of_following(plan: Plan, held: Mapping[Id, Object]) -> Iterator[Change]:
    """Yield what becomes of the policies by which exports and traffic policies follow."""
    wanted: dict[Id, Object | None] = {}
    named = [(EXPORT, one.service.key, one.following) for one in plan.services]
    named += [(TRAFFIC, one.applied.key, one.following) for one in plan.traffic]
    for prefix, key, following in named:
        which = Id(_POLICY_GROUP, "PropagationPolicy", key.namespace, f"{prefix}{key.name}")
        wanted[which] = wanted.get(which) or following
    for which, obj in wanted.items():
        there = held.get(which)
        if obj is None:
            if there is not None and "deletionTimestamp" not in there["metadata"]:
                yield Change(there, None)
        elif there is None or not is_as_wanted(there, obj):
            yield Change(there, obj)


def _live(one: ServicePlan, held: Mapping[Id, Object]) -> Live:
    key: ServiceKey = one.service.key
    mine = [obj for which, obj in held.items() if _is_of(which, key)]
    return Live(
        held.get(_import_id(key)),
        held.get(Id(_POLICY_GROUP, "PropagationPolicy", key.namespace, policy_name(key))),
        {obj["metadata"]["name"]: obj if _has_rules(obj) else {**obj, "spec": _NO_RULES} for obj in mine},
    )


def _has_rules(override: Object) -> bool:
    """Tell whether an OverridePolicy still has the shape that we gave it: it may have been edited."""
    match override:
        case {"spec": {"overrideRules": list(rules)}}:
            return all(_names_clusters(rule) for rule in rules)
    return False


def _names_clusters(rule: object) -> bool:
    match rule:
        case {"targetCluster": {"clusterNames": list(names)}}:
            return all(isinstance(name, str) for name in names)
    return False


def _import_id(key: ServiceKey) -> Id:
    return Id(key.dialect.value, "ServiceImport", key.namespace, key.name)


def _is_of(which: Id, key: ServiceKey) -> bool:
    """Tell whether this is one of a service's OverridePolicies."""
    return (
        which.kind == "OverridePolicy"
        and which.namespace == key.namespace
        and service_of_policy(which.name) == key.name
    )


def _shown(change: Change) -> str:
    live, wanted = change
    which = identity(wanted or live or {})
    name = f"{which.kind} {which.namespace}/{which.name}"
    before = _lines(_shaped(live, wanted or _NAME_AND_SPEC, _owned(live))) if live else []
    after = _lines(wanted) if wanted else []
    return "".join(difflib.unified_diff(before, after, f"live: {name}", f"plan: {name}"))


def _lines(obj: object) -> list[str]:
    return manifests.dump(obj, in_order=False).splitlines(keepends=True)


def _owned(live: Object | None) -> Mapping[str, Any]:
    """Return the fields that are Towpath's (FieldsV1), empty if the apiserver does not say."""
    entries = live["metadata"].get("managedFields") or () if live else ()
    ours = (e for e in entries if e.get("manager") == MANAGER and not e.get("subresource"))
    return next((entry.get("fieldsV1") or {} for entry in ours), {})


def _shaped(live: object, wanted: object, owned: Mapping[str, Any]) -> Any:
    """Return a live object without what is none of our business."""
    if isinstance(live, Mapping) and isinstance(wanted, Mapping):
        names = [name for name in live if name in wanted or f"f:{name}" in owned]
        return {n: _shaped(live[n], wanted.get(n, live[n]), owned.get(f"f:{n}") or {}) for n in names}
    if isinstance(live, list) and isinstance(wanted, list):
        return [_shaped(a, b, {}) for a, b in zip(live, [*wanted, *live[len(wanted) :]], strict=False)]
    return live

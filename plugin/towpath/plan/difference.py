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
from towpath.changes import Change, Live, changes
from towpath.model.keys import ServiceKey
from towpath.plan.outcome import Plan, ServicePlan
from towpath.plan.reading import Id, identity
from towpath.render import POLICY_API, policy_name, service_of_policy
from towpath.sameness import MANAGER, is_as_wanted

Object = Mapping[str, Any]
_NAME_AND_SPEC: Object = {
    "apiVersion": None,
    "kind": None,
    "metadata": {"name": None, "namespace": None},
    "spec": None,
}
_POLICY_GROUP = POLICY_API.partition("/")[0]


def difference(plan: Plan, live: Iterable[Object]) -> str:
    """Return what would change as a unified diff, empty if nothing would.

    ``live`` are the derived objects as Karmada has them.
    """
    held = {identity(obj): obj for obj in live}
    return "".join(_shown(change) for change in _changes(plan, held))


def _changes(plan: Plan, held: Mapping[Id, Object]) -> Iterator[Change]:
    for one in plan.services:
        last: dict[Id, Change] = {}
        for stage in changes(_live(one, held), one.rendered):
            for change in stage:
                last[identity(change.wanted or change.live or {})] = change
        yield from (Change(held.get(which), change.wanted) for which, change in last.items())
    following = (*(one.following for one in plan.services), *(one.following for one in plan.traffic))
    for wanted in filter(None, following):
        there = held.get(identity(wanted))
        if there is None or not is_as_wanted(there, wanted):
            yield Change(there, wanted)


def _live(one: ServicePlan, held: Mapping[Id, Object]) -> Live:
    key: ServiceKey = one.service.key
    mine = [obj for which, obj in held.items() if _is_of(which, key)]
    return Live(
        held.get(Id(key.dialect.value, "ServiceImport", key.namespace, key.name)),
        held.get(Id(_POLICY_GROUP, "PropagationPolicy", key.namespace, policy_name(key))),
        {obj["metadata"]["name"]: obj for obj in mine},
    )


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
    return manifests.dump(obj).splitlines(keepends=True)


def _owned(live: Object | None) -> Mapping[str, Any]:
    """Return the fields that are Towpath's (FieldsV1), empty if the apiserver does not say."""
    entries = live["metadata"].get("managedFields") or () if live else ()
    return next((e.get("fieldsV1") or {} for e in entries if e.get("manager") == MANAGER), {})


def _shaped(live: object, wanted: object, owned: Mapping[str, Any]) -> Any:
    """Return a live object without what is none of our business, in the order of what is wanted."""
    if isinstance(live, Mapping) and isinstance(wanted, Mapping):
        ours = [name for name in live if name not in wanted and f"f:{name}" in owned]
        names = [*(name for name in wanted if name in live), *ours]
        return {n: _shaped(live[n], wanted.get(n, live[n]), owned.get(f"f:{n}") or {}) for n in names}
    return live

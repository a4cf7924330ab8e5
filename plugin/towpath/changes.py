"""What must be done so that the objects of one service become what they should be; pure, in stages.

What stands in one stage may be written at the same time, the next stage when all of it is done.

* Both policies come before the template: Karmada takes a template up the moment it appears, and they must
  be there by then.
* A cluster that needs no override any more, because it stopped exporting, keeps the one it has until the
  template is written: between the two it would see the old list, itself included.
* Where nobody imports any more, only the template is deleted: without its policies what is still in the
  members would for a moment be the full list, and without a template the policies do nothing. They go
  with the export.
* A ServiceImport that is not ours is never touched, and neither is an object that waits for its
  finalizers: of that we hear again when it has gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from towpath.render import MANAGED_BY, Rendered
from towpath.sameness import is_as_wanted

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Live:
    """The objects of one service as they are. ``overrides`` by name; None and absence mean: not there."""

    service_import: Object | None = None
    propagation: Object | None = None
    overrides: Mapping[str, Object] = field(default_factory=dict)


class Change(NamedTuple):
    """One write: what is there, and what is to be there instead. None = nothing."""

    live: Object | None
    wanted: Object | None


def is_foreign(live: Object | None) -> bool:
    """Tell whether an object is somebody else's."""
    if live is None:
        return False
    labels = live["metadata"].get("labels") or {}
    return any(labels.get(name) != value for name, value in MANAGED_BY.items())


def changes(live: Live, wanted: Rendered) -> Iterator[Sequence[Change]]:
    """Yield the stages that lead from what is there to what should be; none if nothing is to be done."""
    if wanted.refused or is_foreign(live.service_import):
        return
    if wanted.service_import is None:
        yield from _stage([Change(live.service_import, None)])
        return
    bridged = {obj["metadata"]["name"]: obj for obj in _bridged(live, wanted)}
    first = [Change(live.overrides.get(name), obj) for name, obj in bridged.items()]
    yield from _stage([*first, Change(live.propagation, wanted.propagation)])
    yield from _stage([Change(live.service_import, wanted.service_import)])
    final = {obj["metadata"]["name"]: obj for obj in wanted.overrides}
    now: Mapping[str, Object] = {**live.overrides, **bridged}
    yield from _stage(
        [Change(there, final.get(name)) for name, there in now.items() if there is not final.get(name)]
    )


def _stage(candidates: Sequence[Change]) -> Iterator[Sequence[Change]]:
    needed = [change for change in candidates if _is_needed(change)]
    if needed:
        yield needed


def _is_needed(change: Change) -> bool:
    live, wanted = change
    if live is not None and "deletionTimestamp" in live["metadata"]:
        return False
    if live is None or wanted is None:
        return live is not wanted
    return not is_as_wanted(live, wanted)


def _bridged(live: Live, wanted: Rendered) -> Iterator[Object]:
    """Yield the wanted OverridePolicies, with the rules there are for clusters that shall have none."""
    named = {name for obj in wanted.overrides for name in _clusters(obj)}
    for obj in wanted.overrides:
        there = live.overrides.get(obj["metadata"]["name"])
        left = [rule for rule in _rules(there) if named.isdisjoint(rule["targetCluster"]["clusterNames"])]
        yield {**obj, "spec": {**obj["spec"], "overrideRules": [*_rules(obj), *left]}} if left else obj


def _rules(policy: Object | None) -> list[Any]:
    return list(policy["spec"]["overrideRules"]) if policy else []


def _clusters(policy: Object) -> Iterator[str]:
    for rule in _rules(policy):
        yield from rule["targetCluster"]["clusterNames"]

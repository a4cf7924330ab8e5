"""GlobalTrafficPolicies: what no FSM can do, and what it does although nobody would think so.

The rules are ``towpath.rules.traffic``'s; here they meet objects that no schema of ours has seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from towpath.model.traffic import Spread, TrafficPolicy, TrafficTarget
from towpath.rules.export_warnings import by_field
from towpath.rules.reasons import Caution
from towpath.rules.traffic import impossible, surprises_alone
from towpath_webhook.admission.fields import Problem, integer, items, one_of, part

_HIGHEST_WEIGHT = 2**31 - 1
_SPREADS = {spread.value: spread for spread in Spread}
_SOME_KEY, _NOTHING = "a/b/c/d", (None, None)


def problems(policy: Mapping[str, Any]) -> Sequence[Problem]:
    """Return all that is wrong with a GlobalTrafficPolicy, in the order of fields."""
    return sorted(_problems(policy), key=lambda problem: by_field(problem.field))


def _problems(policy: Mapping[str, Any]) -> Iterator[Problem]:
    spec = part(policy, "spec")
    spread = spec.get("lbType", Spread.LOCALITY)
    yield from one_of("spec.lbType", spread, *_SPREADS)
    targets = []
    for index, target in enumerate(items(spec.get("targets"))):
        field = f"spec.targets[{index}]"
        key, weight = (
            (target.get("clusterKey"), target.get("weight")) if isinstance(target, dict) else _NOTHING
        )
        if not isinstance(key, str):
            yield Problem(f"{field}.clusterKey", "Required value: write region/zone/group/cluster")
            key = _SOME_KEY
        if weight is not None:
            yield from integer(f"{field}.weight", weight, 0, _HIGHEST_WEIGHT)
        targets.append(TrafficTarget.model_construct(cluster_key=key, weight=None))
    if isinstance(spread, str) and spread in _SPREADS:
        read = TrafficPolicy.model_construct(lb_type=_SPREADS[spread], targets=tuple(targets))
        yield from (Problem(caution.field, caution.problem) for caution in impossible(read))


def warnings(policy: Mapping[str, Any]) -> tuple[Caution, ...]:
    """Return what surprises about a GlobalTrafficPolicy that has no problems."""
    return surprises_alone(TrafficPolicy.parse(part(policy, "spec"), "GlobalTrafficPolicy"))

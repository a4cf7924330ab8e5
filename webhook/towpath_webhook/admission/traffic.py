"""Rules for GlobalTrafficPolicies: what FSM cannot do, and what it does unexpectedly.

The rules are those of ``towpath.rules.traffic``; this module applies them to objects that no schema has
checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from towpath.model.traffic import Spread, TrafficPolicy, TrafficTarget
from towpath.rules.export_warnings import by_field
from towpath.rules.reasons import Caution
from towpath.rules.traffic import impossible, surprises_alone
from towpath_webhook.admission.exports import NOT_A_KEY
from towpath_webhook.admission.fields import (
    MAX_KEY_LENGTH,
    MAX_KEYS,
    Problem,
    choice,
    integer,
    items,
    part,
    too_many,
)

_HIGHEST_WEIGHT = 2**31 - 1
_SPREADS = {spread.value: spread for spread in Spread}
_VALID_KEY = "a/b/c/d"


def problems(policy: Mapping[str, Any]) -> Sequence[Problem]:
    """Return the problems of a GlobalTrafficPolicy, in the order of fields."""
    return sorted(_problems(policy), key=lambda problem: by_field(problem.field))


def _problems(policy: Mapping[str, Any]) -> Iterator[Problem]:
    spec = part(policy, "spec")
    spread = spec.get("lbType", Spread.LOCALITY)
    yield from choice("spec.lbType", spread, *_SPREADS)
    given = items(spec.get("targets"))
    if len(given) > MAX_KEYS:
        yield from too_many("spec.targets", given, MAX_KEYS)
        return
    targets = []
    for index, target in enumerate(given):
        field = f"spec.targets[{index}]"
        key, weight = (
            (target.get("clusterKey"), target.get("weight")) if isinstance(target, dict) else (None, None)
        )
        if not isinstance(key, str):
            text = "Required value: The field is missing. Use region/zone/group/cluster."
            yield Problem(f"{field}.clusterKey", text)
            key = _VALID_KEY
        elif len(key) > MAX_KEY_LENGTH:
            yield Problem(f"{field}.clusterKey", NOT_A_KEY)
            key = _VALID_KEY
        if weight is not None:
            yield from integer(f"{field}.weight", weight, 0, _HIGHEST_WEIGHT)
        targets.append(TrafficTarget.model_construct(cluster_key=key, weight=None))
    if isinstance(spread, str) and spread in _SPREADS:
        read = TrafficPolicy.model_construct(lb_type=_SPREADS[spread], targets=tuple(targets))
        yield from (Problem(caution.field, caution.problem) for caution in impossible(read))


def warnings(policy: Mapping[str, Any]) -> tuple[Caution, ...]:
    """Return the warnings about a GlobalTrafficPolicy without problems."""
    return surprises_alone(TrafficPolicy.parse(part(policy, "spec"), "GlobalTrafficPolicy"))

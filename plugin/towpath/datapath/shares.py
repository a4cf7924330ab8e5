"""How requests are shared between exporting clusters: from a policy to priorities and weights.

* No policy, or Locality: imports are not used.
* ActiveActive: the clusters that the policy lists, or all, with their weights.
* FailOver: the same clusters in equal parts, and only while no local endpoint is ready. With the annotation
  ``towpath.io/failover-tiers`` one tier after the other, and the weights count inside a tier.

A missing weight and 0 mean 100, as in FSM.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import gcd
from typing import NamedTuple

from towpath.datapath.problem import POLICY, Problem, ProblemReason
from towpath.datapath.world import MemberPolicy
from towpath.model.keys import ServiceKey
from towpath.model.traffic import Spread
from towpath.model.view import Endpoint

DEFAULT_WEIGHT = 100
_LARGEST_WEIGHT = 1 << 20
"""Envoy adds the weights of a cluster's endpoints in 32 bits."""
LAST_PRIORITY = 128
"""The last priority of Envoy."""
_TIER_DIGITS = 6


class Share(NamedTuple):
    """One gateway and its part: requests go to the lowest priority that is healthy, by weight."""

    endpoint: Endpoint
    priority: int
    weight: int


def uses_imports(policy: MemberPolicy | None, *, local_ready: bool) -> bool:
    """Tell whether clients of this member are to reach other clusters now."""
    if policy is None or policy.policy.lb_type is Spread.LOCALITY:
        return False
    return policy.policy.lb_type is Spread.ACTIVE_ACTIVE or not local_ready


def has_local_part(policy: MemberPolicy | None) -> bool:
    """Tell whether local pods and Envoy get requests side by side."""
    return policy is not None and policy.policy.lb_type is Spread.ACTIVE_ACTIVE


def shares(endpoints: Sequence[Endpoint], policy: MemberPolicy | None) -> tuple[Share, ...]:
    """Return the endpoints in use, sorted by cluster key."""
    if policy is None or policy.policy.lb_type is Spread.LOCALITY:
        return ()
    weights = {target.cluster_key: _weight(target.weight) for target in policy.policy.targets}
    used = [endpoint for endpoint in endpoints if not weights or endpoint.cluster_key in weights]
    tiers = _tiers(policy) if policy.policy.lb_type is Spread.FAIL_OVER else {}
    if policy.policy.lb_type is Spread.FAIL_OVER and not tiers:
        weights = {}
    order = _priorities(used, tiers)
    parts = _scaled([weights.get(endpoint.cluster_key, DEFAULT_WEIGHT) for endpoint in used])
    found = (
        Share(endpoint, order[endpoint.cluster_key], part) for endpoint, part in zip(used, parts, strict=True)
    )
    return tuple(sorted(found, key=lambda share: share.endpoint.cluster_key))


def problems(key: ServiceKey, policy: MemberPolicy) -> Iterator[Problem]:
    """Yield what in a policy has no effect."""
    for index, target in enumerate(policy.policy.targets):
        if target.weight is not None and target.weight < 0:
            text = (
                f"spec.targets[{index}].weight: {target.weight} is negative, and {DEFAULT_WEIGHT} is used."
                " Set a weight of at least 1."
            )
            yield Problem(POLICY, key, ProblemReason.BAD_WEIGHT, text)
    for part in _parts(policy.tiers):
        if _tier(part) is None:
            text = f"metadata.annotations: {part!r} is not a failover tier. Write CLUSTER-KEY=NUMBER."
            yield Problem(POLICY, key, ProblemReason.BAD_TIERS, text)


def _weight(weight: int | None) -> int:
    return weight if weight is not None and weight > 0 else DEFAULT_WEIGHT


def _scaled(weights: list[int]) -> list[int]:
    """Return weights in the same proportion, exact unless they are larger than Envoy can add."""
    if not weights:
        return []
    common = gcd(*weights)
    smallest = [weight // common for weight in weights]
    over = max(smallest)
    if over <= _LARGEST_WEIGHT:
        return smallest
    return [max(1, weight * _LARGEST_WEIGHT // over) for weight in smallest]


def _tiers(policy: MemberPolicy) -> Mapping[str, int]:
    return dict(tier for part in _parts(policy.tiers) if (tier := _tier(part)) is not None)


def _parts(tiers: str) -> Iterator[str]:
    return (part.strip() for part in tiers.split(",") if part.strip())


def _tier(part: str) -> tuple[str, int] | None:
    key, equals, number = part.rpartition("=")
    key, number = key.strip(), number.strip()
    if not equals or not key or not number.isascii() or not number.isdecimal() or len(number) > _TIER_DIGITS:
        return None
    return key, int(number)


def _priorities(endpoints: Sequence[Endpoint], tiers: Mapping[str, int]) -> Mapping[str, int]:
    """Return the priority of each cluster: without gaps, which Envoy refuses; unlisted clusters come last.

    Those beyond the last priority of Envoy share that: it would refuse the endpoints of all imports.
    """
    last = max(tiers.values(), default=-1) + 1
    tier = {endpoint.cluster_key: tiers.get(endpoint.cluster_key, last) for endpoint in endpoints}
    ranks = {number: min(rank, LAST_PRIORITY) for rank, number in enumerate(sorted(set(tier.values())))}
    return {key: ranks[number] for key, number in tier.items()}

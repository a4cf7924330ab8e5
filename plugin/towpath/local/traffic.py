"""The calls of the walk-through's client: where its policy sends them, and what each edit of it changes.

Every line that is said follows from calls that were made, one curl after the other in the client's pod.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from towpath.datapath.world import TIERS_ANNOTATION
from towpath.errors import NotAsTold
from towpath.karmada.client import Object
from towpath.local import walkthrough
from towpath.local.nodes.calls import answers, curl
from towpath.local.spec import Environment

FEW, MANY = 6, 40
_TOLERANCE = 0.15
"""How far a share of the calls may be from its weight: each worker of Envoy counts by itself."""


@dataclass(frozen=True)
class Answered:
    """What calls got: the pods that answered, in order, and curl's words for each call that failed."""

    pods: tuple[str, ...]
    failures: tuple[str, ...]

    def by_cluster(self, clusters: Mapping[str, str]) -> Counter[str]:
        """Return how many calls each cluster answered. ``clusters`` says where each pod runs."""
        return Counter(clusters[pod] for pod in self.pods)


@dataclass(frozen=True)
class Caller:
    """The client's pod, and the cluster of every pod that can answer it."""

    env: Environment
    member: str
    pod: str
    clusters: Mapping[str, str]

    async def call_in_vain(self) -> str:
        """Make a call that nothing may answer; return curl's words. Raises NotAsTold."""
        call = await curl(self.env, self.member, self.pod, walkthrough.URL)
        if call.code == 0:
            raise NotAsTold(f"{self.member} has no traffic policy, but the call was answered: {call.output}")
        return call.errors.splitlines()[0]

    async def call(self, count: int) -> Answered:
        """Make some calls."""
        lines = await answers(self.env, self.member, self.pod, walkthrough.URL, count)
        known = [line for line in lines if line in self.clusters]
        return Answered(tuple(known), tuple(line for line in lines if line not in self.clusters))


@dataclass(frozen=True)
class Edit:
    """A change of the policy, how it is announced, and the share of the calls that each cluster then gets."""

    title: str
    spec: Mapping[str, Any]
    shares: Mapping[str, float]
    annotations: Mapping[str, str]

    def of(self, policy: Object) -> Object:
        """Return the policy with this change."""
        metadata = {**policy["metadata"], "annotations": dict(self.annotations)}
        return {**policy, "metadata": metadata, "spec": dict(self.spec)}


def edits(members: Sequence[str]) -> tuple[Edit, ...]:
    """Return the changes of the policy that are played after the text, on these members."""
    first, _, third = members
    first_key, third_key = (f"default/default/default/{name}" for name in (first, third))
    return (
        Edit(
            f"The policy edited: weights 3 for {first} and 1 for {third}",
            {
                "lbType": "ActiveActive",
                "targets": [{"clusterKey": first_key, "weight": 3}, {"clusterKey": third_key, "weight": 1}],
            },
            {first: 0.75, third: 0.25},
            {},
        ),
        Edit(
            f"The policy edited: FailOver, to {third} before {first}",
            {"lbType": "FailOver", "targets": [{"clusterKey": first_key}, {"clusterKey": third_key}]},
            {third: 1.0},
            {TIERS_ANNOTATION: f"{third_key}=0,{first_key}=1"},
        ),
    )


def meets(shares: Mapping[str, float], clusters: Mapping[str, str]) -> Callable[[Answered], bool]:
    """Return whether calls were all answered, by the clusters that should and in these shares."""

    def check(seen: Answered) -> bool:
        found, calls = seen.by_cluster(clusters), len(seen.pods)
        near = (
            all(abs(found[name] / calls - share) <= _TOLERANCE for name, share in shares.items())
            if calls
            else False
        )
        return near and not seen.failures and found.keys() == shares.keys()

    return check


def answers_by_cluster(found: Mapping[str, int]) -> str:
    """Return how many calls each cluster answered, in words."""
    return ", ".join(f"{found[name]} by {name}" for name in sorted(found))

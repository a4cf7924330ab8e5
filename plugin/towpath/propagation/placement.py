"""Which members a policy sends its templates to, as far as manifests tell.

``ClusterMatches`` of ``pkg/util/selector.go``, and the order of ``clusterAffinities`` in
``pkg/scheduler/scheduler.go``. Templates are Services and their like: without replicas, they go to every
member that fits (``pkg/scheduler/core/common.go``). Everything else that the scheduler weighs is a note.
Whether a member serves the template's API is not asked here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from towpath.propagation.policies import DEFAULT_SCHEDULER, Placement, Policy, Target
from towpath.propagation.selection import all_met, labels_match
from towpath.propagation.selectors import AffinityTerm, ClusterAffinity, FieldRequirement, FieldSelector
from towpath.text import several


class Placed(NamedTuple):
    """The members that a policy selects, and what is not known of that: sentences that name the policy."""

    clusters: frozenset[str]
    notes: tuple[str, ...]


def place(policy: Policy, fleet: Sequence[Target]) -> Placed:
    """Return where a policy sends its templates. The order of ``fleet`` does not matter."""
    fleet = sorted(fleet, key=lambda target: target.name)
    tried = _tried(policy.placement, fleet)
    chosen = [target for target in fleet if matches(tried[-1], target)]
    notes = (
        *(note for affinity in tried for note in _unknown(affinity, fleet)),
        *_order(policy.placement.cluster_affinities, tried, bool(chosen)),
        *_scheduling(policy, chosen),
        *_suspended(policy, chosen),
    )
    return Placed(frozenset(target.name for target in chosen), tuple(f"{policy.title}: {n}" for n in notes))


def matches(affinity: ClusterAffinity | None, target: Target) -> bool:
    """Tell whether an affinity selects a member (selector.go, ClusterMatches). None selects all.

    ``exclude`` wins over everything, an empty list of names is no condition, and what is left must all hold.
    """
    return affinity is None or (
        _named(affinity, target)
        and (affinity.label_selector is None or labels_match(affinity.label_selector, target.labels))
        and (affinity.field_selector is None or _fields_match(affinity.field_selector, target))
    )


def _named(affinity: ClusterAffinity, target: Target) -> bool:
    return target.name not in affinity.exclude and (
        not affinity.cluster_names or target.name in affinity.cluster_names
    )


def _fields_match(selector: FieldSelector, target: Target) -> bool:
    """Provider and region are asked like labels, so NotIn holds for a member that has none."""
    others = [r for r in selector.match_expressions if r.key != "zone"]
    fields = {"provider": target.provider, "region": target.region}
    return all(_zone_met(r, target) for r in selector.match_expressions if r.key == "zone") and all_met(
        others, {key: value for key, value in fields.items() if value}
    )


def _zone_met(requirement: FieldRequirement, target: Target) -> bool:
    """One zone in common is enough for In and too much for NotIn (selector.go, matchZones)."""
    common = not set(target.zones).isdisjoint(requirement.values)
    return common == (requirement.operator == "In")


def _tried(placement: Placement, fleet: Sequence[Target]) -> list[ClusterAffinity | None]:
    """Return the affinities that the scheduler goes through, up to the first that selects a member.

    scheduler.go, scheduleResourceBindingWithClusterAffinities, for a template not scheduled before.
    """
    terms = placement.cluster_affinities
    for index, term in enumerate(terms):
        if any(matches(term, target) for target in fleet):
            return [*terms[: index + 1]]
    return [*terms] or [placement.cluster_affinity]


def _unknown(affinity: ClusterAffinity | None, fleet: Sequence[Target]) -> Iterator[str]:
    """Say what an affinity asks for that nothing is known of."""
    if affinity is None:
        return
    asked = [target for target in fleet if _named(affinity, target)]
    if strangers := set(affinity.cluster_names) - {target.name for target in fleet}:
        yield f"clusterNames: Karmada has no member cluster {several(strangers)} yet."
    if _asks_labels(affinity) and (bare := {t.name for t in asked if not t.labels}):
        yield f"The affinity selects by label, and the labels of {several(bare)} are not known."
    if _asks_fields(affinity) and (bare := {t.name for t in asked if not _has_fields(t)}):
        yield f"The affinity selects by provider, region or zone, which are not known for {several(bare)}."


def _asks_labels(affinity: ClusterAffinity) -> bool:
    selector = affinity.label_selector
    return selector is not None and bool(selector.match_labels or selector.match_expressions)


def _asks_fields(affinity: ClusterAffinity) -> bool:
    return affinity.field_selector is not None and bool(affinity.field_selector.match_expressions)


def _has_fields(target: Target) -> bool:
    return bool(target.provider or target.region or target.zones)


def _order(terms: Sequence[AffinityTerm], tried: Sequence[object], found: bool) -> Iterator[str]:
    if len(terms) > 1 and found:
        name = terms[len(tried) - 1].affinity_name
        yield (
            f"clusterAffinities: {name!r} is used, the first that selects a member cluster. Karmada's"
            " scheduler uses a later one if no cluster of it fits, and keeps the one that it used before."
        )


def _scheduling(policy: Policy, chosen: Sequence[Target]) -> Iterator[str]:
    """Say what keeps some of the chosen members from being taken."""
    placement, names = policy.placement, [target.name for target in chosen]
    if policy.scheduler_name != DEFAULT_SCHEDULER:
        yield f"Scheduler {policy.scheduler_name!r} selects the clusters. Its rules are not evaluated."
    if chosen and placement.spread_constraints:
        yield f"spreadConstraints: Karmada's scheduler may select only some of {several(names)}."
    if chosen and placement.workload_affinity is not None:
        yield f"workloadAffinity: The placement of other workloads may exclude some of {several(names)}."
    tainted = [target.name for target in chosen if target.tainted]
    if tainted and not placement.cluster_tolerations:
        yield f"The policy tolerates no taints, so new objects do not reach {several(tainted)} while tainted."


def suspended(policy: Policy, clusters: Iterable[str]) -> list[str]:
    """Return which of these clusters receive nothing from a policy for now, sorted."""
    listed = policy.suspension.dispatching_on_clusters.cluster_names
    return sorted(name for name in clusters if policy.suspension.dispatching or name in listed)


def _suspended(policy: Policy, chosen: Sequence[Target]) -> Iterator[str]:
    """Suspended members stay selected, and keep what they have (binding/common.go:366)."""
    if names := suspended(policy, (target.name for target in chosen)):
        yield f"Dispatching is suspended. {several(names)} keep what they have until it resumes."

"""What a GlobalTrafficPolicy cannot mean, and what it means although nobody would think so.

FSM takes the policy of the import's own name and compares each ``clusterKey`` as text with those of its
endpoints, without a word about the ones that match nothing (pkg/multicluster/traffic_policy.go:27-41,
service_import.go:199-241). Locality hides all imports, so its target is never read. Weights count with
ActiveActive only, where none and 0 are lifted to 100 (policy.go:236-247). Endpoints come in groups by the
port of their gateway, those of the own cluster by their targetPort (service/types.go:106): between groups
weights mean nothing, and within one all share a path. The own cluster is never among its imports: where it
runs the Service, that takes part and has no key.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from towpath.model.cluster import Member
from towpath.model.keys import is_cluster_key, why_not_cluster_key
from towpath.model.traffic import Spread, TrafficPolicy, TrafficTarget
from towpath.rules.ports import Exporter
from towpath.rules.reasons import PLAIN, Advice, Caution, InvalidReason
from towpath.rules.scope import with_meant
from towpath.text import several

_DEFAULT_WEIGHT = 100
_OF_FSM = frozenset({Advice.UNEQUAL_GATEWAY_PORTS, Advice.FAIL_OVER_OLD_FSM, Advice.FAIL_OVER_PORT})


def impossible(policy: TrafficPolicy) -> tuple[Caution, ...]:
    """Return all that has to be refused, in the order of fields."""
    found = []
    if policy.lb_type is Spread.LOCALITY and len(policy.targets) > 1:
        found.append(Caution(InvalidReason.LOCALITY_TARGETS, "spec.targets"))
    if policy.lb_type is Spread.FAIL_OVER and not policy.targets:
        found.append(Caution(InvalidReason.FAIL_OVER_TARGETS, "spec.targets"))
    for index, target in enumerate(policy.targets):
        key, weight, field = target.cluster_key, target.weight, f"spec.targets[{index}]"
        if not is_cluster_key(key):
            wrong = f"{key!r}: {why_not_cluster_key(key)}"
            found.append(Caution(InvalidReason.MALFORMED_KEY, f"{field}.clusterKey", wrong))
        if weight is not None and weight < 0:
            found.append(
                Caution(InvalidReason.NEGATIVE_WEIGHT, f"{field}.weight", f"{weight}: must not be negative")
            )
    return tuple(found)


def surprises(
    policy: TrafficPolicy,
    *,
    consumers: Sequence[Member],
    exporters: Sequence[Exporter],
    known: Collection[str],
    local: Collection[str],
) -> tuple[Caution, ...]:
    """Return what is legal and surprises, in the order of fields.

    ``consumers`` are the members that have the policy, ``exporters`` those whose endpoints they import,
    ``known`` the cluster keys of all members, and ``local`` the names of those that run the Service. What is
    true of FSM alone is said of the consumers that have it, and of all while none is known.
    """
    with_fsm = tuple(member for member in consumers if not member.data_path)
    by_key = {exporter.member.key: exporter for exporter in exporters}
    case = _Case(policy, tuple(consumers), by_key, frozenset(known), frozenset(local))
    only_fsm = None if consumers and not with_fsm else replace(case, consumers=with_fsm)
    found = [
        Caution(reason, field, detail)
        for reason, field, rule in _POLICY_RULES[policy.lb_type]
        if (about := only_fsm if reason in _OF_FSM else case) and (detail := rule(about)) is not None
    ]
    return (*found, *_of_targets(case, only_fsm))


def surprises_alone(policy: TrafficPolicy) -> tuple[Caution, ...]:
    """Return those surprises that the policy alone tells, wherever it acts."""
    keys = {target.cluster_key for target in policy.targets}
    found = surprises(policy, consumers=(), exporters=(), known=keys, local=())
    return tuple(caution for caution in found if caution.reason in PLAIN)


@dataclass(frozen=True)
class _Case:
    """A policy and where it acts. ``exporters`` are by cluster key."""

    policy: TrafficPolicy
    consumers: tuple[Member, ...]
    exporters: Mapping[str, Exporter]
    known: frozenset[str]
    local: frozenset[str]

    @cached_property
    def own(self) -> frozenset[str]:
        """The keys of the clusters that have the policy."""
        return frozenset(member.key for member in self.consumers)

    @cached_property
    def used(self) -> Mapping[str, tuple[int, int]]:
        """Gateway port and weight of each exporter that a target names, by cluster key."""
        ports = {key: exporter.member.gateway_port for key, exporter in self.exporters.items()}
        named = {target.cluster_key: target.weight or _DEFAULT_WEIGHT for target in self.policy.targets}
        return {key: (ports[key], weight) for key, weight in named.items() if key in ports}

    @cached_property
    def behind(self) -> Mapping[int | str, Mapping[str, str]]:
        """By targetPort the names of the clusters that have the policy and run the Service, by key."""
        found: dict[int | str, dict[str, str]] = {}
        for member in self.consumers:
            exporter = self.exporters.get(member.key) if member.name in self.local else None
            for port in exporter.service.ports if exporter else ():
                found.setdefault(port.target_port or port.port, {})[member.key] = member.name
        return found


def _of_targets(case: _Case, only_fsm: _Case | None) -> Iterator[Caution]:
    ignored = case.policy.lb_type is Spread.LOCALITY
    counting = {target.cluster_key: index for index, target in enumerate(case.policy.targets)}
    for index, target in enumerate(case.policy.targets):
        field = f"spec.targets[{index}]"
        if not ignored and counting[target.cluster_key] != index:
            # This entry has no effect, so nothing else is to be said about it.
            yield Caution(Advice.REPEATED_KEY, f"{field}.clusterKey", target.cluster_key)
            continue
        for reason, part, rule in _TARGET_RULES[case.policy.lb_type]:
            about = only_fsm if reason in _OF_FSM else case
            if about is not None and (detail := rule(about, target)) is not None:
                yield Caution(reason, field + part, detail)


# A rule returns what is particular to the case, and None if it has nothing to say.


def _local_takes_part(case: _Case) -> str | None:
    return ", ".join(sorted(member.name for member in case.consumers if member.name in case.local)) or None


def _fail_over_old_fsm(case: _Case) -> str | None:
    """Where the Service runs, weight 0 is right: the others are for when it fails."""
    without = sorted(member.name for member in case.consumers if member.name not in case.local)
    return ", ".join(without) if case.policy.targets and (without or not case.consumers) else None


def _unequal_gateway_ports(case: _Case) -> str | None:
    # A cluster does not import from itself, so it takes one whose other targets differ.
    if _differ(case.used.values()) and any(
        _differ([pair for key, pair in case.used.items() if key != own]) for own in case.own or {""}
    ):
        return "gateway ports " + ", ".join(map(str, sorted({port for port, _ in case.used.values()})))
    return None


def _unknown_key(case: _Case, target: TrafficTarget) -> str | None:
    return None if target.cluster_key in case.known else with_meant(target.cluster_key, case.known)


def _not_an_exporter(case: _Case, target: TrafficTarget) -> str | None:
    """Where nothing exports at all, that is said once and not of each target."""
    key = target.cluster_key
    idle = key in case.known and key not in case.own and key not in case.exporters
    return f"{key}; the exporters are {several(case.exporters)}" if idle and case.exporters else None


def _own_key(case: _Case, target: TrafficTarget) -> str | None:
    # A policy that goes to several clusters has to name each of them for the others.
    return target.cluster_key if {target.cluster_key} == set(case.own) else None


def _fail_over_port(case: _Case, target: TrafficTarget) -> str | None:
    if target.cluster_key not in case.used:
        return None
    port, _ = case.used[target.cluster_key]
    same = sorted(name for key, name in case.behind.get(port, {}).items() if key != target.cluster_key)
    return f"{target.cluster_key}, port {port} as in {', '.join(same)}" if same else None


def _differ(used: Collection[tuple[int, int]]) -> bool:
    return len({port for port, _ in used}) > 1 and len({weight for _, weight in used}) > 1


# Which rules there are for each lbType, in the order of the fields they are about.
_PolicyRule = tuple[Advice, str, Callable[[_Case], str | None]]
_TargetRule = tuple[Advice, str, Callable[[_Case, TrafficTarget], str | None]]

_ALWAYS: _PolicyRule = (Advice.NOT_EXPORTED, "metadata.name", lambda case: None if case.exporters else "")
_POLICY_RULES: Mapping[Spread, tuple[_PolicyRule, ...]] = {
    Spread.LOCALITY: (_ALWAYS,),
    Spread.ACTIVE_ACTIVE: (
        _ALWAYS,
        (Advice.LOCAL_TAKES_PART, "spec.lbType", _local_takes_part),
        (Advice.UNEQUAL_GATEWAY_PORTS, "spec.targets", _unequal_gateway_ports),
    ),
    Spread.FAIL_OVER: (_ALWAYS, (Advice.FAIL_OVER_OLD_FSM, "spec.lbType", _fail_over_old_fsm)),
}
_KEYS: tuple[_TargetRule, ...] = (
    (Advice.UNKNOWN_KEY, ".clusterKey", _unknown_key),
    (Advice.NOT_AN_EXPORTER, ".clusterKey", _not_an_exporter),
    (Advice.OWN_KEY, ".clusterKey", _own_key),
)
_NO_WEIGHTS: _TargetRule = (
    Advice.WEIGHT_IGNORED,
    ".weight",
    lambda _, target: None if target.weight is None else target.cluster_key,
)
_TARGET_RULES: Mapping[Spread, tuple[_TargetRule, ...]] = {
    Spread.LOCALITY: ((Advice.LOCALITY_TARGET, "", lambda _, target: target.cluster_key), _NO_WEIGHTS),
    Spread.ACTIVE_ACTIVE: (
        *_KEYS,
        (Advice.WEIGHT_ZERO, ".weight", lambda _, target: target.cluster_key if target.weight == 0 else None),
    ),
    Spread.FAIL_OVER: (*_KEYS, (Advice.FAIL_OVER_PORT, ".clusterKey", _fail_over_port), _NO_WEIGHTS),
}

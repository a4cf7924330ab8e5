"""Warnings about a change before it is stored, as far as they need more than the object itself.

The object is judged as part of the world that would result, by the rules that judge what exists: which
members its cluster keys name, which clusters would export, which paths older exports hold. For a policy of
Karmada the warnings name the Services that it would leave behind (frozen templates). The webhook judges what
the object alone shows, and the apiserver refuses what cannot be read.

Only a path that an export of another namespace serves is refused. Within a namespace the order in which a
user applies manifests must not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, TypeVar

import msgspec

from towpath.derivation.derive import derive_service
from towpath.derivation.index import Incremental
from towpath.derivation.warnings import advise, advise_policy
from towpath.errors import InvalidObject
from towpath.inventory.inventory import Inventory
from towpath.karmada import decode
from towpath.karmada.decode import StoredExport
from towpath.model.claim import EVERYWHERE, Claim, ClaimRecord
from towpath.model.cluster import DRAIN_ANNOTATION, Fleet
from towpath.model.export import Export
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.times import rfc3339
from towpath.model.world import ExportedService, Offer
from towpath.propagation.claims import Claim as PolicyClaim
from towpath.propagation.policies import Policy, read_policy
from towpath.propagation.selection import best_match
from towpath.rules.contention import Lost, claims_of, holder, lost, name_taken
from towpath.rules.export_warnings import by_field, unknown_targets
from towpath.rules.paths import claimed_path
from towpath.rules.reasons import (
    PLAIN,
    Advice,
    Caution,
    ConditionReason,
    ExclusionReason,
    Finding,
    InvalidReason,
)
from towpath.text import several

T = TypeVar("T")


@dataclass(frozen=True)
class Change:
    """A change of one object. ``obj`` is what would be stored and ``old`` what is stored: JSON, or None."""

    group: str
    kind: str
    namespace: str
    name: str
    obj: bytes | None = None
    old: bytes | None = None


class Route(NamedTuple):
    """A path as it is claimed, and its pathType."""

    path: str
    kind: str


_REPORTED_FOR_TEMPLATE = frozenset({Advice.UNKNOWN_TARGET_CLUSTER, Advice.RULE_WITHOUT_PORT})
"""Warnings that need the template alone, and are given whether or not a cluster exports."""
MAX_MATCHES = 100_000
"""Pairs of a selector and a Service that are compared for one policy."""


class _ExportersOnly(Fleet):
    """A fleet without importers: no warning about an export needs views, and views take long."""

    @cached_property
    def importers(self) -> Mapping[Dialect, tuple[str, ...]]:
        """No member."""
        return dict.fromkeys(Dialect, ())


def review(change: Change, inventory: Inventory, now: float) -> tuple[Finding, ...]:
    """Return errors and warnings about a change, in the order of fields; ``now`` in seconds since 1970."""
    rule = _RULES.get((change.group, change.kind))
    if rule is None:
        return ()
    try:
        return tuple(sorted(rule(change, inventory, now), key=lambda finding: by_field(finding.field)))
    except InvalidObject:
        return ()


def _export(change: Change, inventory: Inventory, now: float) -> Iterator[Finding]:
    key = ServiceKey(Dialect(change.group), change.namespace, change.name)
    stored = _stored(decode.service_export, change)
    if stored is None:  # it is deleted
        return
    fleet = inventory.world.fleet
    service = _as_exported(key, stored, inventory, now)
    # Derived without lost claims: a claim that is lost must not hide the other warnings.
    derived = derive_service(service, _ExportersOnly(fleet.members), (), now)
    advice = (caution for caution in advise(service, derived, fleet) if _needs_world(caution))
    # Unknown keys and ports are reported also where no cluster exports yet.
    yield from (caution.finding for caution in unknown_targets(stored.export, fleet.keys))
    yield from _service_problems(key, stored.export, inventory)
    yield from (caution.finding for caution in advice if caution.reason not in _REPORTED_FOR_TEMPLATE)
    claims = claims_of(service)
    yield from (caution.finding for caution in inventory.world.nested(service, claims))
    had = _routes(_read(decode.any_service_export, change.old).export) if change.old else frozenset()

    def serves(route: Route, by: ServiceKey, clusters: Collection[str]) -> bool:
        other = inventory.world.derived(by, now) if by.namespace != key.namespace else None
        return other is not None and route not in had and not {*clusters}.isdisjoint(other.exporters)

    yield from _taken(_lost(service, claims, inventory.world), stored.export, serves)


def _service_problems(key: ServiceKey, export: Export, inventory: Inventory) -> Iterator[Finding]:
    """Yield a warning if the template of the Service is missing, or for each rule port that it lacks."""
    there = inventory.watched.services.get(key.name, key.namespace)
    if there is None:
        reason = ConditionReason.NO_SERVICE
        text = f"metadata.name (Service {key.namespace}/{key.name}): {reason.text}"
        yield Finding(reason.value, "metadata.name", text)
        return
    ports = sorted({port.port for port in there.service.ports})
    for index, rule in enumerate(export.rules):
        if rule.port_number not in ports:
            existing = several(map(str, ports)) or "none"
            detail = f"port {rule.port_number}, the Service has {existing}"
            field = f"spec.rules[{index}].portNumber"
            yield Caution(Advice.RULE_WITHOUT_PORT, field, detail).finding


def _as_exported(key: ServiceKey, stored: StoredExport, inventory: Inventory, now: float) -> ExportedService:
    """Return a service as it would be. An unbound export counts as following its Service."""
    known = inventory.watched.exports[key.dialect].get(key.name, key.namespace)
    claims: tuple[ClaimRecord, ...] | None = ()
    untouched = stored.untouched
    if known and known.uid == stored.uid:  # a review comes without the status
        claims, untouched = known.claims, untouched and known.untouched
    created = stored.created or rfc3339(now)
    service = inventory.services.exported(
        key, stored._replace(created=created, claims=claims, untouched=untouched)
    )
    there = inventory.watched.services.get(key.name, key.namespace)
    if service.offers or there is None:
        return service
    offer = Offer(stored.export, there.service, there.going)
    return replace(service, offers=dict.fromkeys(sorted(service.serving), offer))


def _lost(service: ExportedService, claims: Collection[Claim], world: Incremental) -> tuple[Lost, ...]:
    """Return what a service would claim and other services would hold."""
    holders = {}
    for claim in claims:
        held = world.holders.get(claim, service.key)
        rivals = [service] if held == service.key else [service, world.services[held]]
        holders[claim] = holder(claim, rivals)
    return lost(service.key, claims, holders)


def _routes(export: Export) -> frozenset[Route]:
    return frozenset(Route(claimed_path(rule.path), rule.path_type) for rule in export.rules)


def _taken(
    lost: Iterable[Lost], export: Export, is_refused: Callable[[Route, ServiceKey, Collection[str]], bool]
) -> Iterator[Finding]:
    """Yield the claims that other exports made earlier, each path once for all clusters."""
    clusters: dict[tuple[Route, ServiceKey], list[str]] = {}
    for (cluster, path, kind), by in lost:
        if cluster == EVERYWHERE:
            why = name_taken(by.dialect.value)
            field = f"metadata.name ({why.detail})"
            yield Finding(why.reason.value, "metadata.name", f"{field}: {why.reason.text}")
        else:
            clusters.setdefault((Route(path, kind), by), []).append(cluster)
    for index, rule in enumerate(export.rules):
        for (route, by), names in clusters.items():
            if route == (claimed_path(rule.path), rule.path_type):
                detail = f"{route.path} of ServiceExport {by.namespace}/{by.name} in {several(names)}"
                reason, field = ExclusionReason.PATH_CLAIMED, f"spec.rules[{index}].path"
                text = f"{field} ({detail}): {reason.text}"
                yield Finding(reason.value, field, text, is_refused(route, by, names))


def _traffic(change: Change, inventory: Inventory, now: float) -> Iterator[Finding]:
    key = ServiceKey(Dialect(change.group), change.namespace, change.name)
    policy = _stored(decode.traffic_policy, change)
    if policy is None:  # it is deleted
        return
    world = inventory.world
    service, derived = world.services.get(key), world.derived(key, now)
    applied = inventory.services.applied(key, policy)
    if derived and not applied.selected:  # it follows the imports
        applied = replace(applied, clusters=frozenset(derived.views))
    advice = advise_policy(applied, service, derived, world.fleet)
    yield from (caution.finding for caution in advice if _needs_world(caution))


def _propagation(change: Change, inventory: Inventory, _: float) -> Iterator[Finding]:
    """Yield the Services that a policy has claimed and would no longer select (frozen templates).

    Exports and traffic policies are not left behind: they get a follow policy.
    """
    before, after = _policy(change.old), _policy(change.obj)
    if before is None:
        return
    selectors = after.resource_selectors if after else ()
    claim = PolicyClaim(before.kind, before.namespace, before.name)
    claimed = tuple(inventory.services.claimed_by(claim))
    if len(claimed) * len(selectors) > MAX_MATCHES:
        return  # it would hold up the controller
    dropped = [t for t in claimed if best_match(selectors, t) is None]
    if dropped:
        field = "spec.resourceSelectors" if after else ""
        names = several(f"Service {t.namespace}/{t.name}" for t in dropped)
        yield Caution(Advice.FREEZES, field, names).finding


_RULES: Mapping[tuple[str, str], Callable[[Change, Inventory, float], Iterator[Finding]]] = {
    **{(dialect.value, "ServiceExport"): _export for dialect in Dialect},
    **{(dialect.value, "GlobalTrafficPolicy"): _traffic for dialect in Dialect},
    ("policy.karmada.io", "PropagationPolicy"): _propagation,
    ("policy.karmada.io", "ClusterPropagationPolicy"): _propagation,
}


def _stored(read: Callable[[bytes], T | None], change: Change) -> T | None:
    """Return what would be stored, as the controller would read it; None if it is deleted."""
    return _read(read, change.obj) if change.obj else None


def _policy(raw: bytes | None) -> Policy | None:
    """Return the policy in a JSON text; None without a text."""
    return _read(lambda raw: read_policy(msgspec.json.decode(raw)), raw) if raw else None


def _read(read: Callable[[bytes], T], raw: bytes) -> T:
    try:
        return read(raw)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:  # a number beyond Python's, say
        raise InvalidObject(f"The object cannot be read: {error}.") from None


def _needs_world(caution: Caution) -> bool:
    """Tell whether a warning needs more than the object itself; the webhook gives the others."""
    if caution.reason is Advice.BAD_ANNOTATION:
        return caution.field == f"metadata.annotations[{DRAIN_ANNOTATION}]"
    return caution.reason not in PLAIN and not isinstance(caution.reason, InvalidReason)

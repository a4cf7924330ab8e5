"""What is to be said of a change before it is stored, as far as that takes more than the object itself.

The object is put into the world as it would be, and the rules are asked that judge what is there already:
whom cluster keys mean, who would export, which paths older exports have. Of a policy of Karmada it is told
which exports it would leave behind. What the object tells by itself is for the webhook, which knows no
world; what cannot be read is for others to refuse.

Nothing here refuses: the order in which a user applies manifests must not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
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
from towpath.model.cluster import DRAIN_ANNOTATION, Fleet
from towpath.model.export import Export
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.times import rfc3339
from towpath.model.world import ExportedService, Offer
from towpath.propagation.claims import Claim as PolicyClaim
from towpath.propagation.policies import Policy, read_policy
from towpath.propagation.selection import best_match
from towpath.rules.contention import EVERYWHERE, Lost, claims_of, holder, lost, name_taken
from towpath.rules.export_warnings import by_field, unknown_targets
from towpath.rules.ports import normal_path
from towpath.rules.reasons import PLAIN, Advice, Caution, Exclusion, ExclusionReason, InvalidReason
from towpath.text import several

T = TypeVar("T")


@dataclass(frozen=True)
class Change:
    """What is done to one object. ``obj`` is what would be stored, ``old`` what is: JSON, or None."""

    group: str
    kind: str
    namespace: str
    name: str
    obj: bytes | None = None
    old: bytes | None = None


class Finding(NamedTuple):
    """Something to be said: the word for programs, where in the object, the sentence for people."""

    reason: str
    field: str
    text: str


class _Exporting(Fleet):
    """A fleet in which nobody imports: nothing to be said of an export needs views, and they take long."""

    @cached_property
    def importers(self) -> Mapping[Dialect, tuple[str, ...]]:
        """Nobody."""
        return dict.fromkeys(Dialect, ())


def review(change: Change, inventory: Inventory, now: float) -> tuple[Finding, ...]:
    """Return what surprises about a change, in the order of fields; ``now`` in seconds since 1970."""
    rule = _RULES.get((change.group, change.kind))
    if rule is None:
        return ()
    try:
        return tuple(sorted(rule(change, inventory, now), key=lambda one: by_field(one.field)))
    except InvalidObject:
        return ()


def _export(change: Change, inventory: Inventory, now: float) -> Iterator[Finding]:
    key = ServiceKey(Dialect(change.group), change.namespace, change.name)
    stored = _stored(decode.service_export, change)
    if stored is None:  # it goes
        return
    fleet = inventory.world.fleet
    service = _as_exported(key, stored, inventory, now)
    # As if it had all that it claims: what it does not get must not hide what else there is to say.
    derived = derive_service(service, _Exporting(fleet.members), (), now)
    advice = (one for one in advise(service, derived, fleet) if _is_news(one))
    # Of the keys is spoken also where nothing exports yet.
    yield from map(_said, unknown_targets(stored.export, fleet.keys))
    yield from (_said(one) for one in advice if one.reason is not Advice.UNKNOWN_TARGET_CLUSTER)
    yield from _taken(_lost(service, inventory.world), stored.export)


def _as_exported(key: ServiceKey, stored: StoredExport, inventory: Inventory, now: float) -> ExportedService:
    """Return a service as it would be. What Karmada has not bound yet is taken to follow its Service."""
    created = stored.created or rfc3339(now)
    service = inventory.exported(key, stored._replace(created=created))
    there = inventory.services.get(key.name, key.namespace)
    if service.offers or there is None:
        return service
    offer = Offer(stored.export, there.service, there.going)
    return replace(service, offers=dict.fromkeys(sorted(service.serving), offer))


def _lost(service: ExportedService, world: Incremental) -> tuple[Lost, ...]:
    """Return what a service would claim and others would have."""
    claims, holders = claims_of(service), {}
    for claim in claims:
        held = world.holders.get(claim, service.key)
        rivals = [service] if held == service.key else [service, world.services[held]]
        holders[claim] = holder(rivals)
    return lost(service.key, claims, holders)


def _taken(lost: Iterable[Lost], export: Export) -> Iterator[Finding]:
    """Yield what an older export has, each path once for all clusters."""
    clusters: dict[tuple[str, str, ServiceKey], list[str]] = {}
    for (cluster, what, kind), by in lost:
        if cluster == EVERYWHERE:
            why = name_taken(by.dialect.value)
            yield Finding(
                why.reason.value, "metadata.name", f"metadata.name ({why.detail}): {why.reason.text}"
            )
        else:
            clusters.setdefault((what, kind, by), []).append(cluster)
    for index, rule in enumerate(export.rules):
        for (what, kind, by), names in clusters.items():
            if (what, kind) == (normal_path(rule.path), rule.path_type):
                detail = f"{what} of ServiceExport {by.namespace}/{by.name} in {several(names)}"
                why = Exclusion(ExclusionReason.PATH_CLAIMED, detail)
                field = f"spec.rules[{index}].path"
                yield Finding(why.reason.value, field, f"{field} ({why.detail}): {why.reason.text}")


def _traffic(change: Change, inventory: Inventory, now: float) -> Iterator[Finding]:
    key = ServiceKey(Dialect(change.group), change.namespace, change.name)
    policy = _stored(decode.traffic_policy, change)
    if policy is None:  # it goes
        return
    world = inventory.world
    service, derived = world.services.get(key), world.derived(key, now)
    applied = inventory.applied(key, policy)
    if derived and not applied.selected:  # it follows the imports
        applied = replace(applied, clusters=frozenset(derived.views))
    yield from map(_said, filter(_is_news, advise_policy(applied, service, derived, world.fleet)))


def _propagation(change: Change, inventory: Inventory, _: float) -> Iterator[Finding]:
    """Tell which Services a policy has and would select no longer (facts T9).

    An export that is left behind follows its Service, a traffic policy the imports (DESIGN, rule 9).
    """
    before, after = _policy(change.old), _policy(change.obj)
    if before is None:
        return
    selectors = after.resource_selectors if after else ()
    claim = PolicyClaim(before.kind, before.namespace, before.name)
    left = [one for one in inventory.services_of(claim) if best_match(selectors, one) is None]
    if left:
        field = "spec.resourceSelectors" if after else ""
        names = several(f"Service {one.namespace}/{one.name}" for one in left)
        yield _said(Caution(Advice.FREEZES, field, names))


_RULES: Mapping[tuple[str, str], Callable[[Change, Inventory, float], Iterator[Finding]]] = {
    **{(dialect.value, "ServiceExport"): _export for dialect in Dialect},
    **{(dialect.value, "GlobalTrafficPolicy"): _traffic for dialect in Dialect},
    ("policy.karmada.io", "PropagationPolicy"): _propagation,
    ("policy.karmada.io", "ClusterPropagationPolicy"): _propagation,
}


def _stored(read: Callable[[bytes], T | None], change: Change) -> T | None:
    """Return what would be stored, as the controller would read it; None if it goes."""
    return _read(read, change.obj) if change.obj else None


def _policy(raw: bytes | None) -> Policy | None:
    """Return the policy in a JSON text; None if there is none."""
    return _read(lambda raw: read_policy(msgspec.json.decode(raw)), raw) if raw else None


def _read(read: Callable[[bytes], T], raw: bytes) -> T:
    try:
        return read(raw)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:  # a number beyond Python's, say
        raise InvalidObject(f"this cannot be read: {error}") from None


def _is_news(caution: Caution) -> bool:
    """Tell whether it takes a world to know."""
    if caution.reason is Advice.BAD_ANNOTATION:
        return caution.field == f"metadata.annotations[{DRAIN_ANNOTATION}]"
    return caution.reason not in PLAIN and not isinstance(caution.reason, InvalidReason)


def _said(caution: Caution) -> Finding:
    return Finding(caution.reason.value, caution.field, caution.text)

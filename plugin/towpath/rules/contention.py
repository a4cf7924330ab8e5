"""What two services cannot both have: one name in two dialects, and one path on one gateway.

* Karmada's bindings ignore the API group ("shared binding names" in docs/karmada-behaviour.md), and so would
  derived policies: of two exports of one namespace and name the older counts, in every cluster.
* A gateway routes by path. ErieCanal and FSM refuse an export as a whole if another Ingress of the cluster
  has its path and pathType already. The export that claimed the path first keeps it.

Each such thing is a ``Claim``, and the earliest claimant holds it, whether or not it exports in the end: so
who holds what depends on the claims alone, and a change in one service touches only those that claim the
same.

When a claim began is in the status of its export (``records``), which only Towpath writes. A claim that is
not recorded there yet is later than all that are. A status that records nothing, because its CRD or an older
version of Towpath did not, stands for claims since the creation.

A claim is recorded before it is served (``is_to_record``), and a record keeps its path until it is removed
(``occupied_by``). One record can wait for the first report of its export: that of a new export whose paths
nobody else claims (``may_record_later``). Until then the derived ServiceImport, which shows them, stands for
it. So nothing that others create or edit takes what an export serves, in any order and after any restart. Of
exports that serve nothing yet one that was neither changed nor reported since its creation comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from towpath.model.claim import EVERYWHERE, Claim, ClaimRecord
from towpath.model.export import PATH_TYPES
from towpath.model.keys import ServiceKey
from towpath.model.service import EXTERNAL_NAME
from towpath.model.times import rfc3339, seconds
from towpath.model.world import ExportedService, Offer
from towpath.rules.paths import claimed_path, is_within
from towpath.rules.reasons import Exclusion, ExclusionReason

NOT_RECORDED = "~"
"""Sorts after all times: the beginning of a claim that the status does not hold yet."""


class Lost(NamedTuple):
    """A claim that another service made earlier."""

    claim: Claim
    holder: ServiceKey


def claims_of(service: ExportedService) -> frozenset[Claim]:
    """Return what a service claims.

    A path is claimed where the Service has the port of its rule. Once that is recorded, the claim lasts while
    the export reaches the cluster with the rule: a Service that is created again finds its path. A path
    outside of ``path_root`` claims nothing, so it is free for the namespace that it begins with.
    """
    return frozenset(_claims(service))


def _claims(service: ExportedService) -> Iterator[Claim]:
    yield Claim(EVERYWHERE, f"{service.key.namespace}/{service.key.name}", "name")
    routes: dict[tuple[int, int], list[_Route]] = {}
    recorded = bool(service.claimed)
    for cluster, offer in service.offers.items():
        same = id(offer.export), id(offer.service)
        if same not in routes:  # mostly all clusters have the same
            routes[same] = _routes(offer, service.path_root)
        for path, kind, served in routes[same]:
            known = recorded and _record(service, cluster, path, kind)
            if served or known or _shows(service, cluster, path, routes[same]):
                yield Claim(cluster, path, kind)


def _shows(service: ExportedService, cluster: str, path: str, routes: Iterable[_Route]) -> bool:
    """Tell whether the import shows a rule. It does not tell two rules of one path apart."""
    return (cluster, path) in service.shown and sum(route.path == path for route in routes) == 1


def occupied_by(service: ExportedService) -> frozenset[Claim]:
    """Return what a service keeps from others: what it claims, and what its status records or import shows.

    The pass that takes up the end of a claim removes the record, or changes the import. An export that
    returns to a path before that has never given it up, and nobody else has served it.
    """
    made = claims_of(service)
    if not service.shown:
        return made | _recorded_in(service.claimed or ())
    # An import does not show pathTypes. Until the export is edited they are those of its rules.
    known = {(claim.cluster, claim.name) for claim in made} if service.untouched else set()
    return made | {Claim(*each, kind) for each in service.shown - known for kind in PATH_TYPES}


def settled(service: ExportedService) -> ExportedService:
    """Return a service as it is when its record holds nothing that it no longer claims."""
    if not service.claimed:
        return service
    made = claims_of(service)
    rest = (
        record._replace(clusters=tuple(c for c in record.clusters if Claim(c, *record[:2]) in made))
        for record in service.claimed
    )
    return replace(service, claimed=tuple(record for record in rest if record.clusters))


def _recorded_in(records: Iterable[ClaimRecord]) -> frozenset[Claim]:
    return frozenset(Claim(c, path, kind) for path, kind, _, clusters in records for c in clusters)


class _Route(NamedTuple):
    """Path and pathType of a rule, and whether the Service has its port."""

    path: str
    kind: str
    served: bool


def _routes(offer: Offer, root: str) -> list[_Route]:
    """Return the routes of the rules within a root."""
    service = offer.service
    exists = service is not None and service.type != EXTERNAL_NAME
    ports = {port.port for port in service.ports} if service and exists else ()
    return [
        _Route(claimed_path(rule.path), rule.path_type, rule.port_number in ports)
        for rule in offer.export.rules
        if is_within(rule.path, root)
    ]


def _record(service: ExportedService, cluster: str, path: str, kind: str) -> ClaimRecord | None:
    for record in service.claimed or ():
        if record.path == path and record.path_type == kind and cluster in record.clusters:
            return record
    return None


def since(service: ExportedService, claim: Claim) -> str:
    """Return since when a service makes one of its claims; ``NOT_RECORDED`` sorts after all times."""
    if service.claimed is None or claim.cluster == EVERYWHERE:
        return service.created
    record = _record(service, *claim)
    return record.since if record else NOT_RECORDED


def holder(claim: Claim, claimants: Iterable[ExportedService]) -> ServiceKey:
    """Return which of several services has what they all claim."""
    return min(claimants, key=lambda service: (_order(service, claim), service.age)).key


def _order(service: ExportedService, claim: Claim) -> tuple[str, bool, str, bool]:
    """Return since when a service makes a claim. In a cluster that is new its other clusters count."""
    began = since(service, claim)
    if began != NOT_RECORDED:
        return began, False, "", False
    same = (claim.name, claim.kind)
    others = (record.since for record in service.claimed or () if (record.path, record.path_type) == same)
    is_shown = (claim.cluster, claim.name) in service.shown
    return began, not is_shown, min(others, default=NOT_RECORDED), not service.untouched


def is_to_record(service: ExportedService, records: Iterable[ClaimRecord]) -> bool:
    """Tell whether a claim has begun or ended that the status does not say."""
    return service.claimed is not None and _recorded_in(records) != _recorded_in(service.claimed)


def may_record_later(
    service: ExportedService, claims: Iterable[Claim], claimants: Callable[[Claim], Collection[ServiceKey]]
) -> bool:
    """Tell whether a new import may be written before the first record of its export.

    ``claimants`` returns who makes a claim. A ServiceImport shows paths without their pathType, so both
    count: of two exports with one path at most one has an import without a record.
    """
    return service.untouched and not any(
        service.key != rival
        for claim in claims
        if claim.cluster != EVERYWHERE
        for kind in PATH_TYPES
        for rival in claimants(claim._replace(kind=kind))
    )


def is_shown(records: Iterable[ClaimRecord], paths: Collection[tuple[str, str]]) -> bool:
    """Tell whether an import with these paths of clusters can stand for a record: it shows each path once."""
    made = [(cluster, record.path) for record in records for cluster in record.clusters]
    return len(made) == len({*made} & {*paths})


def holders(services: Mapping[ServiceKey, ExportedService]) -> dict[Claim, ServiceKey]:
    """Return who has each claim that is made."""
    held: dict[Claim, ServiceKey] = {}
    contended: dict[Claim, list[ExportedService]] = {}
    for key, service in services.items():
        for claim in occupied_by(service):
            first = held.setdefault(claim, key)
            if first != key:
                contended.setdefault(claim, [services[first]]).append(service)
    held.update((claim, holder(claim, claimants)) for claim, claimants in contended.items())
    return held


def lost(key: ServiceKey, claims: Iterable[Claim], holders: Mapping[Claim, ServiceKey]) -> tuple[Lost, ...]:
    """Return which of its claims a service does not get, in a fixed order.

    Without its name it has nothing else to lose: then that is the only one.
    """
    gone = sorted(Lost(claim, holders[claim]) for claim in claims if holders[claim] != key)
    name = [loss for loss in gone if loss.claim.cluster == EVERYWHERE]
    return tuple(name or gone)


def records(
    service: ExportedService, claims: Iterable[Claim], holding: Mapping[Claim, ExportedService], now: float
) -> tuple[ClaimRecord, ...]:
    """Return what the status of an export should record at ``now`` (seconds since 1970) of its claims.

    ``holding`` are the services that hold those of the claims that are lost. A lost claim begins after
    that of its holder, whatever the clocks say, so it is recorded when that is.
    """
    clusters: dict[tuple[str, str, str], list[str]] = {}
    for claim in claims:
        if claim.cluster == EVERYWHERE:
            continue
        began = since(service, claim)
        if began == NOT_RECORDED:
            began = _beginning(claim, holding.get(claim), now)
        if began:
            clusters.setdefault((claim.name, claim.kind, began), []).append(claim.cluster)
    return tuple(ClaimRecord(*route, tuple(sorted(names))) for route, names in sorted(clusters.items()))


def _beginning(claim: Claim, holder: ExportedService | None, now: float) -> str:
    """Return the beginning of a claim that is new; empty if it cannot be recorded yet."""
    if holder is None:
        return rfc3339(now)
    held = seconds(since(holder, claim))
    return "" if held is None else rfc3339(max(now, held + 1.0))


def name_taken(by: str) -> Exclusion:
    """Return why nobody exports: the name belongs to an export of another API group."""
    return Exclusion(ExclusionReason.NAME_TAKEN, f"ServiceExport of {by}")


def exclusions(lost: Iterable[Lost]) -> dict[str, Exclusion]:
    """Return what lost claims mean: why a cluster does not export, under ``EVERYWHERE`` why none does."""
    excluded: dict[str, Exclusion] = {}
    for (cluster, name, _), by in lost:
        if cluster == EVERYWHERE:
            excluded[cluster] = name_taken(by.dialect.value)
        else:
            detail = f"{name} of ServiceExport {by.namespace}/{by.name}"
            excluded.setdefault(cluster, Exclusion(ExclusionReason.PATH_CLAIMED, detail))
    return excluded

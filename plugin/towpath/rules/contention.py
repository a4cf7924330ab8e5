"""What two services cannot both have: one name in two dialects, and one path on one gateway.

* Karmada's bindings ignore the API group ("shared binding names" in docs/karmada-behaviour.md), and so would
  derived policies: of two exports of one namespace and name the older counts, in every cluster.
* A gateway routes by path. ErieCanal and FSM refuse an export as a whole if another Ingress of the cluster
  has its path and pathType already. The older export keeps it.

Each such thing is a ``Claim``, and the oldest claimant holds it, whether or not it exports in the end: so
who holds what depends on the claims alone, and a change in one service touches only those that claim the
same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from towpath.model.keys import ServiceKey
from towpath.model.service import EXTERNAL_NAME
from towpath.model.world import ExportedService
from towpath.rules.ports import normal_path
from towpath.rules.reasons import Exclusion, ExclusionReason

EVERYWHERE = ""


class Claim(NamedTuple):
    """Something that only one service can have in a cluster, ``EVERYWHERE`` for the name."""

    cluster: str
    what: str
    kind: str


class Lost(NamedTuple):
    """A claim that an older service holds."""

    claim: Claim
    holder: ServiceKey


def claims_of(service: ExportedService) -> frozenset[Claim]:
    """Return what a service claims. An export without a Service gets no path on its cluster's gateway."""
    return frozenset(_claims(service))


def _claims(service: ExportedService) -> Iterator[Claim]:
    yield Claim(EVERYWHERE, f"{service.key.namespace}/{service.key.name}", "name")
    paths: dict[int, list[tuple[str, str]]] = {}
    for cluster, offer in service.offers.items():
        if offer.service is None or offer.service.type == EXTERNAL_NAME:
            continue
        same = id(offer.export)
        if same not in paths:  # mostly all clusters have the same
            paths[same] = [(normal_path(rule.path), rule.path_type) for rule in offer.export.rules]
        for path, kind in paths[same]:
            yield Claim(cluster, path, kind)


def holder(claimants: Iterable[ExportedService]) -> ServiceKey:
    """Return which of several services has what they all claim."""
    return min(claimants, key=lambda service: service.age).key


def holders(services: Mapping[ServiceKey, ExportedService]) -> dict[Claim, ServiceKey]:
    """Return who has each claim that is made."""
    claimants: dict[Claim, list[ExportedService]] = {}
    for service in services.values():
        for claim in claims_of(service):
            claimants.setdefault(claim, []).append(service)
    return {claim: holder(those) for claim, those in claimants.items()}


def lost(key: ServiceKey, claims: Iterable[Claim], holders: Mapping[Claim, ServiceKey]) -> tuple[Lost, ...]:
    """Return which of its claims a service does not get, in a fixed order.

    Without its name it has nothing else to lose: then that is the only one.
    """
    gone = sorted(Lost(claim, holders[claim]) for claim in claims if holders[claim] != key)
    name = [one for one in gone if one.claim.cluster == EVERYWHERE]
    return tuple(name or gone)


def name_taken(by: str) -> Exclusion:
    """Return why nobody exports: the name belongs to an export of another API group."""
    return Exclusion(ExclusionReason.NAME_TAKEN, f"ServiceExport of {by}")


def exclusions(lost: Iterable[Lost]) -> dict[str, Exclusion]:
    """Return what lost claims mean: why a cluster does not export, under ``EVERYWHERE`` why none does."""
    excluded: dict[str, Exclusion] = {}
    for (cluster, what, _), by in lost:
        if cluster == EVERYWHERE:
            excluded[cluster] = name_taken(by.dialect.value)
        else:
            detail = f"{what} of ServiceExport {by.namespace}/{by.name}"
            excluded.setdefault(cluster, Exclusion(ExclusionReason.PATH_CLAIMED, detail))
    return excluded

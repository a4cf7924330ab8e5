"""Which clusters export a service, and the one reason for each that does not ("exporter rule").

A ServiceExport usually reaches more clusters than its Service: the walk-through sends it to all three
members and the Service to two. Only where both are bound is there something to route to.

What is judged here is one cluster for itself. What depends on others comes after: paths and names that
are taken (``contention``), clusters that are lost (``reachability``), types that differ (``conflict``).
"""

from __future__ import annotations

from functools import lru_cache

from towpath.model.cluster import DRAIN_ANNOTATION, Member
from towpath.model.export import Export
from towpath.model.service import EXTERNAL_NAME, Service
from towpath.model.times import rfc3339
from towpath.model.world import Absence, ExportedService, Offer
from towpath.rules.gateway import why_no_gateway
from towpath.rules.late_cache import is_catching_up
from towpath.rules.paths import is_within
from towpath.rules.reasons import Exclusion, ExclusionReason

_SWITCH = _ON, _OFF = ("true", "false")


def why_not_exporting(
    member: Member | None,
    offer: Offer,
    name: Exclusion | None = None,
    path: Exclusion | None = None,
    path_root: str = "",
    now: float = 0.0,
) -> Exclusion | None:
    """Return the first reason, in the order of the registry; None for an exporter.

    ``name`` and ``path`` say that the service has lost these to an older one (``contention``). All paths must
    be at or below ``path_root``, whichever ports the Service has: the gateway of the member routes them.
    ``now`` is in seconds since 1970.
    """
    service = offer.service
    if member is None:
        return Exclusion(ExclusionReason.NOT_A_MEMBER)
    if name is not None:
        return name
    if service is None:
        return Exclusion(ExclusionReason.SERVICE_NOT_BOUND)
    return (
        (None if offer.absence is None else _why_absent(member, offer.absence, offer.obstacle, now))
        or _why_no_service(offer, service)
        or _why_outside(offer.export, path_root)
        or path
        or (None if offer.refused is None else Exclusion(ExclusionReason.REFUSED_IN_MEMBER, offer.refused))
        or why_no_gateway(member)
    )


def _why_absent(member: Member, absence: Absence, obstacle: str, now: float) -> Exclusion:
    if absence is Absence.SUSPENDED:
        return Exclusion(ExclusionReason.SUSPENDED)
    if member.unreachable_since is not None:  # whatever Karmada says of the objects follows from that
        return Exclusion(ExclusionReason.UNREACHABLE)
    match absence:
        case Absence.FAILED:
            if member.ready_since is not None and is_catching_up(member, obstacle, now):
                return Exclusion(ExclusionReason.CATCHING_UP, f"Ready since {rfc3339(member.ready_since)}")
            return Exclusion(ExclusionReason.APPLY_FAILED, obstacle)
        case Absence.UNREPORTED:
            return Exclusion(ExclusionReason.NOT_REPORTED_YET, obstacle)
        case Absence.PENDING:
            return Exclusion(ExclusionReason.NOT_APPLIED_YET)


def _why_no_service(offer: Offer, service: Service) -> Exclusion | None:
    if offer.going:
        return Exclusion(ExclusionReason.SERVICE_GOING)
    if service.type == EXTERNAL_NAME:
        return Exclusion(ExclusionReason.EXTERNAL_NAME)
    ports = {port.port for port in service.ports}
    if not any(rule.port_number in ports for rule in offer.export.rules):
        return Exclusion(ExclusionReason.NO_MATCHING_PORT)
    return None


def _why_outside(export: Export, root: str) -> Exclusion | None:
    if not root:  # mostly
        return None
    outside = (rule.path for rule in export.rules if not is_within(rule.path, root))
    path = next(outside, None)
    return None if path is None else Exclusion(ExclusionReason.PATH_OUTSIDE, path or "/")


def drained(service: ExportedService, member: Member) -> bool:
    """Tell whether a cluster is drained: for all services by its own annotation, for one by the export's.

    The export's ``towpath.io/drain`` lists names or keys of clusters, or is ``true`` for all of them.
    """
    annotation = service.annotations.get(DRAIN_ANNOTATION)
    if member.drained or annotation is None:
        return member.drained
    listed_clusters = drain_list(service)
    return is_set(annotation) or member.name in listed_clusters or member.key in listed_clusters


def drain_list(service: ExportedService) -> frozenset[str]:
    """Return the clusters that an export's ``towpath.io/drain`` lists."""
    return listed_set(service.annotations.get(DRAIN_ANNOTATION, ""))


def listed(annotation: str) -> list[str]:
    """Return the clusters that an annotation lists; none if it is ``true`` or ``false``."""
    return [part for text in annotation.split(",") if (part := text.strip()) not in {"", *_SWITCH}]


@lru_cache(16)
def listed_set(annotation: str) -> frozenset[str]:
    """Return the same as a set. It is asked for each member, and a tenant decides how long the text is."""
    return frozenset(listed(annotation))


def is_set(annotation: str) -> bool:
    """Tell whether an annotation that can only be on or off is on."""
    return annotation.strip() == _ON

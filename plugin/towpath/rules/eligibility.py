"""Which clusters export a service, and the one reason for each that does not ("exporter rule").

A ServiceExport usually reaches more clusters than its Service: the walk-through sends it to all three
members and the Service to two. Only where both are bound is there something to route to.

What is judged here is one cluster for itself. What depends on others comes after: paths and names that
are taken (``contention``), clusters that are lost (``reachability``), types that differ (``conflict``).
"""

from __future__ import annotations

from towpath.model.cluster import DRAIN_ANNOTATION, Member
from towpath.model.service import EXTERNAL_NAME, Service
from towpath.model.world import Absence, ExportedService, Offer
from towpath.rules.gateway import why_no_gateway
from towpath.rules.reasons import Exclusion, ExclusionReason

_SWITCH = _ON, _OFF = ("true", "false")


def why_not_exporting(
    member: Member | None, offer: Offer, name: Exclusion | None = None, path: Exclusion | None = None
) -> Exclusion | None:
    """Return the first reason, in the order of the registry; None for an exporter.

    ``name`` and ``path`` say that the service has lost these to an older one (``contention``).
    """
    service = offer.service
    if member is None:
        return Exclusion(ExclusionReason.NOT_A_MEMBER)
    if name is not None:
        return name
    if service is None:
        return Exclusion(ExclusionReason.SERVICE_NOT_BOUND)
    return (
        _why_absent(offer)
        or _why_no_service(offer, service)
        or path
        or (None if offer.refused is None else Exclusion(ExclusionReason.REFUSED_IN_MEMBER, offer.refused))
        or why_no_gateway(member)
    )


def _why_absent(offer: Offer) -> Exclusion | None:
    match offer.absence:
        case Absence.SUSPENDED:
            return Exclusion(ExclusionReason.SUSPENDED)
        case Absence.FAILED:
            return Exclusion(ExclusionReason.APPLY_FAILED, offer.obstacle)
        case Absence.PENDING:
            return Exclusion(ExclusionReason.NOT_APPLIED_YET)
    return None


def _why_no_service(offer: Offer, service: Service) -> Exclusion | None:
    if offer.going:
        return Exclusion(ExclusionReason.SERVICE_GOING)
    if service.type == EXTERNAL_NAME:
        return Exclusion(ExclusionReason.EXTERNAL_NAME)
    ports = {port.port for port in service.ports}
    if not any(rule.port_number in ports for rule in offer.export.rules):
        return Exclusion(ExclusionReason.NO_MATCHING_PORT)
    return None


def drained(service: ExportedService, member: Member) -> bool:
    """Tell whether a cluster is drained: for all services by its own annotation, for one by the export's.

    The export's ``towpath.io/drain`` lists names or keys of clusters, or is ``true`` for all of them.
    """
    annotation = service.annotations.get(DRAIN_ANNOTATION)
    if member.drained or annotation is None:
        return member.drained
    return is_set(annotation) or not {member.name, member.key}.isdisjoint(drain_list(service))


def drain_list(service: ExportedService) -> list[str]:
    """Return the clusters that an export's ``towpath.io/drain`` lists."""
    annotation = service.annotations.get(DRAIN_ANNOTATION, "")
    return [part for text in annotation.split(",") if (part := text.strip()) not in {"", *_SWITCH}]


def is_set(annotation: str) -> bool:
    """Tell whether an annotation that can only be on or off is on."""
    return annotation.strip() == _ON

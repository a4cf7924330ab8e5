"""Which clusters export a service, and the one reason for each that does not (DESIGN, rule 3).

A ServiceExport usually reaches more clusters than its Service: the walk-through sends it to all three
members and the Service to two. Only where both are bound is there something to route to.
"""

from __future__ import annotations

from towpath.model.cluster import Member
from towpath.model.service import EXTERNAL_NAME
from towpath.model.world import Offer
from towpath.rules.gateway import why_unreachable
from towpath.rules.reasons import Excluded


def why_not_exporting(member: Member | None, offer: Offer) -> Excluded | None:
    """Return the first reason, from the most to the least fundamental; None for an exporter."""
    if member is None:
        return Excluded.NOT_A_MEMBER
    if offer.service is None:
        return Excluded.SERVICE_NOT_BOUND
    if offer.service.type == EXTERNAL_NAME:
        return Excluded.EXTERNAL_NAME
    ports = {port.port for port in offer.service.ports}
    if not any(rule.port_number in ports for rule in offer.export.rules):
        return Excluded.NO_MATCHING_PORT
    return why_unreachable(member)

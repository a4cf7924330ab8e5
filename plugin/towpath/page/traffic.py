"""The requests between members as the page shows them: a rate for each pair, or why there is none. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from towpath.page.row import Row
from towpath.proto.v1alpha1.inventory_pb2 import TrafficMeasurement, WatchFleetResponse
from towpath.rules.reasons import TrafficReason
from towpath.traffic.rates import Rate

Carried = Mapping[tuple[str, str], Rate]
"""Rates by the names of importer and exporter."""
NOTHING: Carried = {}
Flows = Mapping[tuple[int, int], Rate]
"""The same by their places among the members."""


class Traffic(Row, frozen=True):
    """Since when the rates are known (RFC 3339), or why they are not."""

    at: str = ""
    reason: str = ""
    text: str = ""


def unknown(reason: TrafficReason) -> Traffic:
    """Return a traffic that is unknown."""
    return Traffic(reason=reason.value, text=reason.text)


def traffic(measurement: TrafficMeasurement | None) -> Traffic:
    """Return how the rates have been measured, as the plugin has said it."""
    if measurement is None:
        return unknown(TrafficReason.NOT_REPORTED)
    return Traffic(measurement.measured_at, measurement.reason, measurement.text)


def carried_after(carried: Carried, part: WatchFleetResponse) -> Carried:
    """Return the rates after a response of the stream; the same object if it changes none."""
    if not part.traffic and not part.gone_traffic:
        return carried
    rates = dict(carried)
    for gone in part.gone_traffic:
        rates.pop((gone.importer, gone.exporter), None)
    for sent in part.traffic:
        errors = sent.errors_per_second if sent.HasField("errors_per_second") else None
        rates[sent.importer, sent.exporter] = Rate(sent.requests_per_second, errors)
    return rates


def flows(carried: Carried, places: Mapping[str, int]) -> Flows:
    """Return the rates by place; a member that has just left has none."""
    return {
        (places[importer], places[exporter]): rate
        for (importer, exporter), rate in carried.items()
        if importer in places and exporter in places
    }

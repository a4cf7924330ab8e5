"""What a client of the fleet's stream knows of the traffic, and what it has yet to be sent."""

from __future__ import annotations

from collections.abc import Container

from towpath.model.times import rfc3339
from towpath.proto.v1alpha1 import inventory_pb2 as pb
from towpath.traffic.meter import Meter
from towpath.traffic.rates import NONE, Measurement, Pair, Rate, Rates

BATCH_SIZE = 500
"""Pairs of one response."""


class SentTraffic:
    """The rates as one client knows them."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._measurement: Measurement | None = None
        self._wanted: Rates = NONE
        self._sent: dict[Pair, Rate] = {}
        self._due: list[Pair] = []

    @property
    def is_due(self) -> bool:
        """Whether the client lacks something."""
        return bool(self._due) or self._measurement is not self._meter.latest

    def look(self, members: Container[str]) -> None:
        """See what differs: the measurement or the members have changed."""
        self._wanted = _between(members, self._meter.latest.rates)
        self._due = [pair for pair, rate in self._wanted.items() if self._sent.get(pair) != rate]
        self._due += [pair for pair in self._sent if pair not in self._wanted]

    def put(self, response: pb.WatchFleetResponse) -> None:
        """Add what differs, as far as a response has room for it."""
        if self._measurement is not self._meter.latest:
            self._measurement = self._meter.latest
            response.traffic_measurement.CopyFrom(_measurement(self._measurement))
        now, self._due = self._due[:BATCH_SIZE], self._due[BATCH_SIZE:]
        for pair in now:
            rate = self._wanted.get(pair)
            if rate is None:
                del self._sent[pair]
                response.gone_traffic.append(pb.ClusterPair(importer=pair.importer, exporter=pair.exporter))
            else:
                self._sent[pair] = rate
                response.traffic.append(_traffic(pair, rate))


def _between(members: Container[str], rates: Rates) -> Rates:
    """Return the rates between these members: mostly all of them, and then no stream has its own copy."""
    if all(pair.importer in members and pair.exporter in members for pair in rates):
        return rates
    return {pair: r for pair, r in rates.items() if pair.importer in members and pair.exporter in members}


def _traffic(pair: Pair, rate: Rate) -> pb.Traffic:
    return pb.Traffic(
        importer=pair.importer,
        exporter=pair.exporter,
        requests_per_second=rate.requests,
        errors_per_second=rate.errors,
    )


def _measurement(measurement: Measurement) -> pb.TrafficMeasurement:
    return pb.TrafficMeasurement(
        measured_at="" if measurement.at is None else rfc3339(measurement.at),
        reason=measurement.reason or "",
        text=measurement.text,
    )

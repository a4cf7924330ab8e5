"""Rates of requests between clusters, rounded so that noise is no change. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from towpath.rules.reasons import TrafficReason

_SAME = 0.1
"""Fraction of a rate within which another one is the same. A rate of one request a second, measured over
minutes, differs by so much from one measurement to the next without any cause."""


class Pair(NamedTuple):
    """Two members by their names: the importer sends requests, the exporter answers them."""

    importer: str
    exporter: str


class Rate(NamedTuple):
    """Requests per second, and those of them without an answer or with a 5xx: None if nobody counts these."""

    requests: float
    errors: float | None


Rates = Mapping[Pair, Rate]
NONE: Rates = MappingProxyType({})


class Measurement(NamedTuple):
    """What is known of the traffic: the rates and since when (seconds since 1970), or why they are unknown.

    A pair without a rate has not been measured, which is another thing than no requests.
    """

    rates: Rates = NONE
    at: float | None = None
    reason: TrafficReason | None = None
    detail: str = ""

    @property
    def text(self) -> str:
        """Why the traffic is unknown; empty if it is known."""
        if self.reason is None:
            return ""
        return f"{self.detail}: {self.reason.text}" if self.detail else self.reason.text


def steady(before: Rates, now: Rates) -> Rates:
    """Return the rates of now, and for pairs whose rate is about the same, what it was before."""
    kept = {pair: _steady_rate(before.get(pair), rate) for pair, rate in now.items()}
    return before if kept == before else kept


def _steady_rate(before: Rate | None, now: Rate) -> Rate:
    requests = _steady(before.requests if before else None, now.requests)
    if now.errors is None:
        return Rate(requests, None)
    return Rate(requests, min(_steady(before.errors if before else None, now.errors), requests))


def _steady(before: float | None, now: float) -> float:
    """Return a value with two digits, or the former one if that is about the same. Zero is like no other."""
    if before and now and abs(now - before) <= _SAME * before:
        return before
    return float(f"{now:.2g}")

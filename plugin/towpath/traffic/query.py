"""The one query: requests and errors per second by sending and exporting cluster, and its answer. Pure.

The agents name the exporting cluster in the label ``cluster``, and know nothing of the label by which a
Prometheus tells its targets apart. Where that has the same name, Prometheus keeps the label of the target and
renames the other one to ``exported_cluster``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import msgspec

from towpath.model.keys import cluster_name
from towpath.rules.reasons import TrafficReason
from towpath.text import one_line
from towpath.traffic.flow import EGRESS, ERRORS_TOTAL, REQUESTS_TOTAL
from towpath.traffic.rates import Pair, Rate, Rates

WINDOW_SECONDS = 180
"""What a rate is the average of. A target that is scraped every minute has two samples in it, also if one is
lost."""
_EXCERPT_BYTES = 300
_MAX_RATE = 1e9
"""Requests per second beyond which a number is no rate: sums of such numbers stay numbers."""
_CLUSTER, _RENAMED = "cluster", "exported_cluster"
_LABEL = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9_]*")
_COUNTED, _REQUESTS, _ERRORS = "towpath_rate", "requests", "errors"


class Unmeasured(Exception):
    """The rates are unknown. Viewers read ``detail``, which has words of ours only; ``seen`` is logged."""

    def __init__(self, reason: TrafficReason, detail: str = "", seen: str = "") -> None:
        super().__init__(reason, detail, seen)
        self.reason, self.detail, self.seen = reason, detail, seen


class _Series(msgspec.Struct, gc=False):
    metric: dict[str, str]
    value: tuple[float, str]


class _Data(msgspec.Struct):
    resultType: str  # noqa: N815 - named by Prometheus
    result: list[_Series]


class _Answer(msgspec.Struct):
    status: str
    data: _Data


class _Sample(NamedTuple):
    pair: Pair
    counted: str
    value: float


_decode = msgspec.json.Decoder(_Answer).decode


def is_label(name: str) -> bool:
    """Return whether series can have this label, and tell by it which member was scraped."""
    return bool(_LABEL.fullmatch(name)) and name not in (_RENAMED, _COUNTED)


def query(label: str, window_seconds: int = WINDOW_SECONDS) -> str:
    """Return the query; ``label`` is the one of the member that was scraped."""
    by = ", ".join(dict.fromkeys((label, _CLUSTER, _RENAMED)))
    rates = (
        f'label_replace(sum by ({by}) (rate({name}{{direction="{EGRESS}"}}[{window_seconds}s])), '
        f'"{_COUNTED}", "{counted}", "", "")'
        for name, counted in ((REQUESTS_TOTAL, _REQUESTS), (ERRORS_TOTAL, _ERRORS))
    )
    return " or ".join(rates)


def rates(answer: bytes, label: str, members: Collection[str]) -> Rates:
    """Return the rates between members that an answer tells. Raises Unmeasured if it tells none."""
    try:
        decoded = _decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unmeasured(TrafficReason.INVALID_ANSWER, seen=excerpt(answer)) from None
    if decoded.status != "success" or decoded.data.resultType != "vector":
        raise Unmeasured(TrafficReason.INVALID_ANSWER, seen=excerpt(answer))
    found = _rates(_samples(decoded.data.result, label, members))
    if not found and members:
        number = len(decoded.data.result)
        raise Unmeasured(TrafficReason.NO_SERIES, f"{number} series of other clusters" if number else "")
    return found


def excerpt(answer: bytes) -> str:
    """Return the beginning of an answer on one line, for the log."""
    return one_line(answer[:_EXCERPT_BYTES].decode("utf-8", "replace"))


def _rates(samples: Iterator[_Sample]) -> Rates:
    requests: dict[Pair, float] = {}
    errors: dict[Pair, float] = {}
    for pair, counted, value in samples:
        sums = requests if counted == _REQUESTS else errors
        sums[pair] = sums.get(pair, 0.0) + value
    return {
        pair: Rate(value, min(errors[pair], value) if pair in errors else None)
        for pair, value in requests.items()
    }


def _samples(series: list[_Series], label: str, members: Collection[str]) -> Iterator[_Sample]:
    """Yield the rates between two members that are numbers."""
    for each in series:
        pair = _pair(each.metric, label)
        counted = each.metric.get(_COUNTED)
        if pair.importer == pair.exporter or counted not in (_REQUESTS, _ERRORS):
            continue
        value = _number(each.value[1])
        if value is not None and pair.importer in members and pair.exporter in members:
            yield _Sample(pair, counted, value)


def _pair(labels: Mapping[str, str], label: str) -> Pair:
    """Return the clusters of a series. The agents give the key of the exporting one: its name comes last.

    What is no key is the label of somebody else, in the place of the agents'.
    """
    keys = (labels.get(name, "") for name in (_RENAMED, _CLUSTER) if name != label)
    key = next((key for key in keys if "/" in key), "")
    return Pair(labels.get(label, ""), cluster_name(key))


def _number(text: str) -> float | None:
    """Return a rate, None for what cannot be one."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= _MAX_RATE else None

"""In what the exporters of one service disagree ("conflict rule"; KEP-1645, mcs-api).

The table names each field, how to read it from an exporter and the reason for a difference. The oldest
exporter's value is used; the message has the KEP's form, every field that differs is named, and since it
is worked out from the exporters of now it clears by itself. nodePort never counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from towpath.model.claim import EVERYWHERE
from towpath.model.service import ServicePort
from towpath.rules.contention import Lost
from towpath.rules.ports import Clash, Exporter
from towpath.rules.reasons import Conflicting

Value = object


class Field(NamedTuple):
    """One thing that exporters have to agree on."""

    name: str
    reason: Conflicting
    get: Callable[[Exporter], Value]


class Disagreement(NamedTuple):
    """One reason, and the sentence that names the field, the winner and how many disagree."""

    reason: Conflicting
    message: str


def _ports(exporter: Exporter) -> Value:
    return frozenset((p.name, p.protocol, p.port, p.app_protocol or "") for p, _ in exporter.offered)


def _timeout(exporter: Exporter) -> Value:
    config = exporter.service.session_affinity_config
    return config.client_ip.timeout_seconds if config and config.client_ip else None


PORTS = Field("ports", Conflicting.PORTS, _ports)
FIELDS = (
    Field("type", Conflicting.TYPE, lambda e: e.service.import_type),
    PORTS,
    Field("sessionAffinity", Conflicting.SESSION_AFFINITY, lambda e: e.service.session_affinity),
    Field("sessionAffinityConfig", Conflicting.SESSION_AFFINITY_CONFIG, _timeout),
    Field(
        "internalTrafficPolicy",
        Conflicting.INTERNAL_TRAFFIC_POLICY,
        lambda e: e.service.internal_traffic_policy,
    ),
    Field("trafficDistribution", Conflicting.TRAFFIC_DISTRIBUTION, lambda e: e.service.traffic_distribution),
    Field("serviceAccountName", Conflicting.SERVICE_ACCOUNT, lambda e: e.export.service_account_name),
)


def disagreements(
    exporters: Sequence[Exporter], clashes: Sequence[Clash], lost: Sequence[Lost]
) -> Iterator[Disagreement]:
    """Yield what does not agree, the oldest exporter first among the exporters."""
    if len({(id(e.export), id(e.service)) for e in exporters}) > 1:  # else all have the very same template
        for field in FIELDS:
            yield from _differing(field, exporters, clashes)
    yield from (_path(loss) for loss in lost if loss.claim.cluster != EVERYWHERE)


def _differing(
    field: Field, exporters: Sequence[Exporter], clashes: Sequence[Clash]
) -> Iterator[Disagreement]:
    values = [field.get(exporter) for exporter in exporters]
    others = sum(value != values[0] for value in values)
    if not others:
        return
    used = _union(clashes) if field is PORTS else _oldest(values[0], exporters[0])
    many = f"{others}/{len(values)} clusters disagree."
    yield Disagreement(field.reason, f"Conflicting {field.name}. {used} {many}")


def _oldest(value: Value, exporter: Exporter) -> str:
    shown = "" if value is None else value
    return f'Using "{shown}" from oldest service export in "{exporter.member.name}".'


def _union(clashes: Sequence[Clash]) -> str:
    left_out = "".join(
        f' Left out: {_port(c.port)} of "{c.cluster}", which conflicts with {_port(c.older)}.'
        for c in clashes
    )
    return f"Using the union of all ports.{left_out}"


def _port(port: ServicePort) -> str:
    return f"{port.port}/{port.protocol}" + (f' "{port.name}"' if port.name else "")


def _path(lost: Lost) -> Disagreement:
    (cluster, path, _), by = lost
    return Disagreement(
        Conflicting.PATH,
        f'Conflicting path. "{path}" on the gateway of "{cluster}" was claimed earlier by service export'
        f' "{by.namespace}/{by.name}".',
    )

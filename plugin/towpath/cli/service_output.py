"""Services and members as tables.

Rows that are alike share one, and long lists are cut: 100 clusters stay readable.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from towpath.cli.output import table
from towpath.text import one_line, several

if TYPE_CHECKING:
    from rich.table import Table

    from towpath.derivation.explanation import (
        Explanation,
        ExportingCluster,
        ImportingCluster,
        LeftOutCluster,
        TrafficState,
    )
    from towpath.model.cluster import Member
    from towpath.model.condition import Condition
    from towpath.model.view import Endpoint, ImportPort
    from towpath.rules.reasons import Finding

    Ports = tuple[ImportPort, ...]

T = TypeVar("T")
_EXPECTED = {
    ("Valid", "True"),
    ("Conflict", "False"),
    ("Ready", "True"),
    ("Accepted", "True"),
    ("Resolved", "True"),
}
_IN_PLACE = "InPlace"
_MAX_ROWS = 10
"""Rows that are shown of many alike."""
_MAX_VIEWS = 5
"""Views that are shown one by one, before those are put together that differ in the cluster itself."""


class MemberRow(NamedTuple):
    """A member cluster, as tables show it."""

    name: str
    cluster_key: str
    gateway_host: str
    gateway_port: int
    dialects: Sequence[str]
    state: str = ""
    source: str = ""

    @classmethod
    def of(cls, member: Member) -> MemberRow:
        """Return the row of a member."""
        dialects = sorted(dialect.value for dialect in member.imports)
        return cls(member.name, member.key, member.gateway_host, member.gateway_port, dialects)


def members_table(members: Sequence[MemberRow]) -> Table:
    """Return the inventory."""
    live = any(member.state for member in members)
    more = ("state", "gateway source") if live else ()
    rows = table("member", *more[:1], "cluster key", "gateway", *more[1:], "imports")
    for member in members:
        gateway = f"{member.gateway_host}:{member.gateway_port}" if member.gateway_host else "none"
        state, source = ((member.state,), (member.source,)) if live else ((), ())
        imports = ", ".join(member.dialects) or "nothing"
        _add(rows, member.name, *state, member.cluster_key, gateway, *source, imports)
    return rows


def inventory(members: Sequence[MemberRow]) -> str | Table:
    """Return the inventory as the beginning of something else: only their number if there are many."""
    if 0 < len(members) <= _MAX_ROWS:
        return members_table(members)
    names = several(member.name for member in members)
    return f"{len(members)} members: {names}" if names else "There are no member clusters."


def explanation(explained: Explanation) -> list[str | Table]:
    """Return one service: its exporters and importers, the others with the reason, and what to know."""
    parts: list[str | Table] = [str(explained.key), ""]
    parts.append(_exporters_table(explained) if explained.exporters else "No cluster exports the service.")
    parts += _left_out("not exported by", explained.excluded)
    parts += ["", _imports_table(explained) if explained.importers else "No cluster imports the service."]
    parts += _not_in_place(explained.importers)
    parts += _left_out("not imported by", explained.not_importing)
    if explained.traffic is not None:
        parts += ["", *_traffic(explained.traffic)]
    parts += _conditions(explained.conditions, first="")
    return [*parts, *warnings(explained.warnings)]


def _conditions(conditions: Iterable[Condition], *, first: str | None = None) -> list[str | Table]:
    """Return the conditions that are not as they should be, one a line, behind an empty line."""
    lines = [
        f"{c.type}={c.status} ({c.reason}): {c.message}"
        for c in conditions
        if (c.type, c.status) not in _EXPECTED
    ]
    return [*([] if first is None else [first]), *lines] if lines else []


def _traffic(traffic: TrafficState) -> list[str | Table]:
    """Return the traffic policy, and what is wrong with it."""
    targets = ", ".join(key if weight is None else f"{key}={weight}" for key, weight in traffic.targets)
    to = f" to {targets}" if targets else ""
    where = several(traffic.clusters) or "no cluster"
    return [f"GlobalTrafficPolicy: {traffic.lb_type}{to}, in {where}", *_conditions(traffic.conditions)]


def _not_in_place(importers: Sequence[ImportingCluster]) -> list[str | Table]:
    """Return the imports that are not in place, and why."""
    alike: dict[tuple[str, str, str, str], list[str]] = {}
    for importer in importers:
        if importer.state not in {"", _IN_PLACE}:
            alike.setdefault((importer.state, importer.since, importer.reason, importer.text), []).append(
                importer.cluster
            )
    if not alike:
        return []
    rows = table("not in place", "state", "since", "reason", "")
    for (state, since, reason, text), names in alike.items():
        _add(rows, several(names), state, since, reason, text)
    return ["", rows]


def warnings(findings: Iterable[Finding]) -> list[str | Table]:
    """Return the warnings, one a line."""
    lines = [f"warning: {finding.text}" for finding in findings]
    return ["", *lines] if lines else []


def _exporters_table(explained: Explanation) -> Table:
    rows = table(
        "exported by", "cluster key", *(("",) if any(e.lost_since for e in explained.exporters) else ())
    )
    shown, more = _first(explained.exporters)
    for exporter in shown:
        _add(rows, exporter.cluster, exporter.cluster_key, *_loss(exporter))
    if more:
        _add(rows, more)
    return rows


def _loss(exporter: ExportingCluster) -> tuple[str, ...]:
    """Return the state of a lost exporter, nothing for others."""
    if not exporter.lost_since:
        return ()
    kept = f"kept until {exporter.kept_until}" if exporter.kept_until else "kept"
    return (f"lost since {exporter.lost_since}, {kept}",)


def _left_out(title: str, clusters: Sequence[LeftOutCluster]) -> list[str | Table]:
    if not clusters:
        return []
    alike: dict[tuple[str, str], list[str]] = {}
    for name, reason, text in clusters:
        alike.setdefault((reason, text), []).append(name)
    rows = table(title, "reason", "")
    for (reason, text), names in alike.items():
        _add(rows, several(names), reason, text)
    return ["", rows]


def _imports_table(explained: Explanation) -> Table:
    """Return what is imported. Clusters that see the same share a row."""
    rows = table("imported by", "port", "from", "address")
    shown, more = _first(_views(explained.importers))
    for clusters, ports in shown:
        label = clusters
        for port in ports:
            number = _port_label(port)
            endpoints, others = _first(port.endpoints)
            for endpoint in endpoints:
                target = endpoint.target
                address = f"{target.ip}:{target.port}{target.path}"
                _add(rows, label, number, endpoint.cluster_key, address)
                label = number = ""  # once, in the first row
            if others:
                _add(rows, "", "", others)
    if more:
        _add(rows, f"{more} with views of their own")
    return rows


def _views(importers: Sequence[ImportingCluster]) -> Sequence[tuple[str, Ports]]:
    """Return what is imported, each once, behind the names of the clusters that see it so."""
    alike = _alike(importers)
    if len(alike) > _MAX_VIEWS:
        whole = _united(importers)
        full = {
            importer.cluster
            for importer in importers
            if importer.ports == _without(whole, importer.cluster_key)
        }
        if len(full) > 1:
            rest = _alike(importer for importer in importers if importer.cluster not in full)
            return [(f"{several(full)}, each without itself", whole), *rest]
    return alike


def _alike(importers: Iterable[ImportingCluster]) -> Sequence[tuple[str, Ports]]:
    seen: dict[Ports, list[str]] = {}
    for importer in importers:
        seen.setdefault(importer.ports, []).append(importer.cluster)
    return [(several(names), ports) for ports, names in seen.items()]


def _united(importers: Iterable[ImportingCluster]) -> Ports:
    """Return every port with all endpoints that are imported, sorted by cluster key."""
    ports: dict[ImportPort, dict[str, Endpoint]] = {}
    for port in (port for importer in importers for port in importer.ports):
        known = ports.setdefault(_with(port, ()), {})
        known.update((endpoint.cluster_key, endpoint) for endpoint in port.endpoints)
    return tuple(_with(port, (known[key] for key in sorted(known))) for port, known in ports.items())


def _without(ports: Ports, cluster_key: str) -> Ports:
    """Return ports without the endpoints of one cluster, and without those that have no others."""
    left = (_with(port, (e for e in port.endpoints if e.cluster_key != cluster_key)) for port in ports)
    return tuple(port for port in left if port.endpoints)


def _with(port: ImportPort, endpoints: Iterable[Endpoint]) -> ImportPort:
    return port.model_copy(update={"endpoints": tuple(endpoints)})


def _first(items: Sequence[T]) -> tuple[Sequence[T], str]:
    """Return the items to show, and how many are not."""
    more = len(items) - _MAX_ROWS
    return (items[:_MAX_ROWS], f"and {more} more") if more > 1 else (items, "")


def _add(rows: Table, *cells: str) -> None:
    rows.add_row(*map(one_line, cells))


def _port_label(port: ImportPort) -> str:
    """Return ``8080/TCP http, kubernetes.io/h2c``."""
    extra = ", ".join(text for text in (port.name, port.app_protocol) if text)
    return f"{port.port}/{port.protocol} {extra}".rstrip()

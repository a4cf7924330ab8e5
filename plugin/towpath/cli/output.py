"""Printing what is known of services and members: tables for people, JSON for programs.

What many clusters have alike is said once, and of long lists the beginning: 100 clusters stay readable.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeVar

from towpath.text import one_line, several

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from google.protobuf.message import Message
    from rich.table import Table

    from towpath.proto.v1alpha1 import service_pb2 as pb

T = TypeVar("T")
_PIPE_WIDTH = 1000
"""Columns where there is no terminal: so wide that a line stays a line for grep."""
_AS_USUAL = {("Valid", "True"), ("Conflict", "False")}
_PIECE = 2**24
_ROWS = 10
"""Rows that are shown of many alike."""
_VIEWS = 5
"""Views that are shown one by one, before those are put together that differ in the cluster itself."""


def write(text: str) -> None:
    """Write to stdout, whatever characters its encoding lacks."""
    encoding = sys.stdout.encoding or "utf-8"
    # In pieces, because of one write of more than 2 GiB only the beginning arrives.
    for start in range(0, len(text), _PIECE):
        piece = text[start : start + _PIECE]
        sys.stdout.write(piece.encode(encoding, "backslashreplace").decode(encoding))


def print_json(answer: Message) -> None:
    """Print a message of the contract."""
    import json

    from google.protobuf.json_format import MessageToDict

    document = MessageToDict(answer, always_print_fields_with_no_presence=True)
    write(json.dumps(document, indent=2) + "\n")


def show(*parts: str | Table) -> None:
    """Print texts, each on one line, and tables, one below the other."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    console = Console(width=width, markup=False, highlight=False, emoji=False)
    with console.capture() as capture:
        for part in parts:
            if isinstance(part, str):
                console.print(one_line(part), soft_wrap=True)
            else:
                console.print(part)
    write("".join(f"{line.rstrip()}\n" for line in capture.get().split("\n")[:-1]))


def table(*columns: str) -> Table:
    """Return an empty table."""
    from rich.table import Table

    made = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 3, 0, 0))
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def members_table(members: Sequence[pb.Cluster]) -> Table:
    """Return the inventory."""
    rows = table("member", "cluster key", "gateway", "imports")
    for member in members:
        gateway = f"{member.gateway_host}:{member.gateway_port}" if member.gateway_host else "none"
        _add(rows, member.name, member.cluster_key, gateway, ", ".join(member.dialects) or "nothing")
    return rows


def inventory(members: Sequence[pb.Cluster]) -> str | Table:
    """Return the inventory as the beginning of something else: only their number if there are many."""
    if 0 < len(members) <= _ROWS:
        return members_table(members)
    names = several(member.name for member in members)
    return f"{len(members)} members: {names}" if names else "There are no members."


def explanation(answer: pb.Explanation) -> list[str | Table]:
    """Return one service: who exports it, who does not and why, who imports what, and what to know."""
    parts: list[str | Table] = [f"{answer.namespace}/{answer.name} ({answer.dialect})", ""]
    parts.append(_exporters_table(answer) if answer.exporters else "No cluster exports it.")
    parts += _exclusions("not exported by", answer.excluded)
    parts += ["", _imports_table(answer) if answer.importers else "No cluster imports it."]
    parts += _exclusions("not imported by", answer.not_importing)
    telling = [c for c in answer.conditions if (c.type, c.status) not in _AS_USUAL]
    if telling:
        parts += ["", *(f"{c.type}={c.status} ({c.reason}): {c.message}" for c in telling)]
    return [*parts, *warnings(answer.warnings)]


def warnings(those: Iterable[pb.Finding]) -> list[str | Table]:
    """Return what surprises, one a line."""
    lines = [f"warning: {one.text}" for one in those]
    return ["", *lines] if lines else []


def _exporters_table(answer: pb.Explanation) -> Table:
    rows = table("exported by", "cluster key")
    shown, more = _first(answer.exporters)
    for exporter in shown:
        _add(rows, exporter.cluster, exporter.cluster_key)
    if more:
        _add(rows, more)
    return rows


def _exclusions(title: str, those: Sequence[pb.Exclusion]) -> list[str | Table]:
    if not those:
        return []
    alike: dict[tuple[str, str], list[str]] = {}
    for one in those:
        alike.setdefault((one.reason, one.text), []).append(one.cluster)
    rows = table(title, "reason", "")
    for (reason, text), clusters in alike.items():
        _add(rows, several(clusters), reason, text)
    return ["", rows]


def _imports_table(answer: pb.Explanation) -> Table:
    """Return what is imported. Clusters that see the same share a row."""
    rows = table("imported by", "port", "from", "address")
    shown, more = _first(_views(answer.importers))
    for clusters, ports in shown:
        label = clusters
        for port in ports:
            number = _port_label(port)
            endpoints, others = _first(port.endpoints)
            for endpoint in endpoints:
                address = f"{endpoint.ip}:{endpoint.port}{endpoint.path}"
                _add(rows, label, number, endpoint.cluster_key, address)
                label = number = ""  # said once, above
            if others:
                _add(rows, "", "", others)
    if more:
        _add(rows, f"{more} with views of their own")
    return rows


def _views(importers: Sequence[pb.Importer]) -> Sequence[tuple[str, Sequence[pb.Port]]]:
    """Return what is imported, each once, behind the names of the clusters that see it so."""
    alike = _alike(importers)
    if len(alike) > _VIEWS:
        whole = _united(importers)
        full = {
            one.cluster for one in importers if _text(one.ports) == _text(_without(whole, one.cluster_key))
        }
        if len(full) > 1:
            rest = _alike(one for one in importers if one.cluster not in full)
            return [(f"{several(full)}, each without itself", whole), *rest]
    return alike


def _alike(importers: Iterable[pb.Importer]) -> Sequence[tuple[str, Sequence[pb.Port]]]:
    seen: dict[bytes, list[pb.Importer]] = {}
    for importer in importers:
        seen.setdefault(_text(importer.ports), []).append(importer)
    return [(several(one.cluster for one in those), those[0].ports) for those in seen.values()]


def _united(importers: Iterable[pb.Importer]) -> list[pb.Port]:
    """Return every port with the endpoints that anybody imports, sorted by cluster key."""
    ports: dict[tuple[object, ...], tuple[pb.Port, dict[str, pb.Endpoint]]] = {}
    for port in (port for importer in importers for port in importer.ports):
        which = (port.port, port.protocol, port.name, port.app_protocol)
        ports.setdefault(which, (port, {}))[1].update((one.cluster_key, one) for one in port.endpoints)
    return [_with(port, [those[key] for key in sorted(those)]) for port, those in ports.values()]


def _without(ports: Iterable[pb.Port], cluster_key: str) -> list[pb.Port]:
    """Return ports without the endpoints of one cluster, and without those that have no others."""
    left = (_with(port, [e for e in port.endpoints if e.cluster_key != cluster_key]) for port in ports)
    return [port for port in left if port.endpoints]


def _with(port: pb.Port, endpoints: Iterable[pb.Endpoint]) -> pb.Port:
    return type(port)(
        port=port.port,
        protocol=port.protocol,
        name=port.name,
        app_protocol=port.app_protocol,
        endpoints=endpoints,
    )


def _text(ports: Iterable[pb.Port]) -> bytes:
    return b"".join(port.SerializeToString(deterministic=True) for port in ports)


def _first(items: Sequence[T]) -> tuple[Sequence[T], str]:
    """Return the items to show, and the words for those that are not."""
    more = len(items) - _ROWS
    return (items[:_ROWS], f"and {more} more") if more > 1 else (items, "")


def _add(rows: Table, *cells: str) -> None:
    rows.add_row(*map(one_line, cells))


def _port_label(port: pb.Port) -> str:
    """Return ``8080/TCP http, kubernetes.io/h2c``."""
    extra = ", ".join(text for text in (port.name, port.app_protocol) if text)
    return f"{port.port}/{port.protocol} {extra}".rstrip()

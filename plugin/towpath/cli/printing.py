"""Printing what is known of services and members: tables for people, JSON for programs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from google.protobuf.message import Message
    from rich.table import Table

    from towpath.proto.v1alpha1 import plugin_pb2 as pb

_PIPE_WIDTH = 200
"""Columns where there is no terminal: wide enough that a line stays a line for grep."""
_AS_USUAL = {("Valid", "True"), ("Conflict", "False")}
_NAMED = 5
"""Clusters that are named before they are only counted, where many are alike."""


def print_json(answer: Message) -> None:
    """Print a message of the contract."""
    import json

    from google.protobuf.json_format import MessageToDict

    document = MessageToDict(answer, always_print_fields_with_no_presence=True)
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def show(*parts: str | Table) -> None:
    """Print texts and tables, one below the other."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    console = Console(width=width, markup=False, highlight=False, emoji=False)
    for part in parts:
        console.print(part)


def table(*columns: str) -> Table:
    """Return an empty table."""
    from rich.table import Table

    made = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 3, 0, 0))
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def members_table(answer: pb.ListMembersResponse) -> Table:
    """Return the inventory."""
    rows = table("member", "cluster key", "gateway", "imports")
    for member in answer.members:
        gateway = f"{member.gateway_host}:{member.gateway_port}" if member.gateway_host else "none"
        rows.add_row(member.name, member.cluster_key, gateway, ", ".join(member.dialects) or "nothing")
    return rows


def explanation(answer: pb.ExplainResponse) -> list[str | Table]:
    """Return one service: who exports it, who does not and why, who imports what, and what to know."""
    parts: list[str | Table] = [f"{answer.namespace}/{answer.name} ({answer.dialect})", ""]
    if answer.exporters:
        exporters = table("exported by", "cluster key")
        for exporter in answer.exporters:
            exporters.add_row(exporter.cluster, exporter.cluster_key)
        parts.append(exporters)
    else:
        parts.append("No cluster exports it.")
    parts += _exclusions("not exported by", answer.excluded)
    parts += ["", _imports_table(answer) if answer.importers else "No cluster imports it."]
    parts += _exclusions("not imported by", answer.not_importing)
    telling = [
        c for c in answer.conditions if (c.type, c.status) not in {("Valid", "True"), ("Conflict", "False")}
    ]
    if telling:
        parts += ["", *(f"{c.type}={c.status} ({c.reason}): {c.message}" for c in telling)]
    return [*parts, *warnings(answer.warnings)]


def warnings(those: Iterable[pb.Warning]) -> list[str | Table]:
    """Return what surprises, one a line."""
    lines = [f"warning: {one.text}" for one in those]
    return ["", *lines] if lines else []


def _exclusions(title: str, those: Sequence[pb.Exclusion]) -> list[str | Table]:
    if not those:
        return []
    alike: dict[tuple[str, str], list[str]] = {}
    for one in those:
        alike.setdefault((one.reason, one.text), []).append(one.cluster)
    rows = table(title, "reason", "")
    for (reason, text), clusters in alike.items():
        rows.add_row(_several(clusters), reason, text)
    return ["", rows]


def _imports_table(answer: pb.ExplainResponse) -> Table:
    """Return what is imported. Clusters that see the same share a row."""
    alike: dict[bytes, list[pb.Importer]] = {}
    for importer in answer.importers:
        ports = b"".join(port.SerializeToString(deterministic=True) for port in importer.ports)
        alike.setdefault(ports, []).append(importer)
    rows = table("imported by", "port", "from", "address")
    for those in alike.values():
        clusters = _several([importer.cluster for importer in those])
        for port in those[0].ports:
            label = _port_label(port)
            for endpoint in port.endpoints:
                address = f"{endpoint.ip}:{endpoint.port}{endpoint.path}"
                rows.add_row(clusters, label, endpoint.cluster_key, address)
                clusters = label = ""  # said once, above
    return rows


def _several(clusters: Sequence[str]) -> str:
    more = len(clusters) - _NAMED
    named = ", ".join(clusters[:_NAMED] if more > 1 else clusters)
    return f"{named} and {more} more" if more > 1 else named


def _port_label(port: pb.Port) -> str:
    """Return ``8080/TCP http, kubernetes.io/h2c``."""
    extra = ", ".join(text for text in (port.name, port.app_protocol) if text)
    return f"{port.port}/{port.protocol} {extra}".rstrip()

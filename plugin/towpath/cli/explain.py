"""``towpath explain`` and ``towpath members``: what the running plugin knows, asked over its socket."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from towpath.cli.running import run
from towpath.errors import NoEnvironment, UsageError
from towpath.model.keys import Dialect

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from rich.table import Table

    from towpath.proto.v1alpha1 import plugin_pb2 as pb

_PIPE_WIDTH = 200
"""Columns where there is no terminal: wide enough that a line stays a line for grep."""


class Output(StrEnum):
    """How to print an answer."""

    TABLE = "table"
    JSON = "json"


Socket = Annotated[
    Path | None,
    typer.Option(
        envvar="TOWPATH_SOCKET",
        help="Where the plugin answers; else that of the local Karmada.",
        show_default=False,
    ),
]
Form = Annotated[Output, typer.Option("--output", "-o", help="How to print it.")]


def explain(
    service: Annotated[str, typer.Argument(metavar="NAMESPACE/NAME", help="The exported service.")],
    dialect: Annotated[
        Dialect | None, typer.Option(help="API group of its ServiceExport.", show_default="whichever it has")
    ] = None,
    socket: Socket = None,
    output: Form = Output.TABLE,
) -> None:
    """Show who exports a service, why the others do not, and what each cluster imports."""
    from towpath.rpc import client

    namespace, slash, name = service.partition("/")
    if not (namespace and slash and name) or "/" in name:
        raise UsageError(f"{service!r} names no service: write NAMESPACE/NAME")
    answer = run(client.explain(_address(socket), namespace, name, dialect or ""))
    if output is Output.JSON:
        _print_json(answer)
    else:
        _print_explanation(answer)


def members(socket: Socket = None, output: Form = Output.TABLE) -> None:
    """List the member clusters as Towpath sees them."""
    from towpath.rpc import client

    answer = run(client.list_members(_address(socket)))
    if output is Output.JSON:
        _print_json(answer)
    elif answer.members:
        _print(_members_table(answer))
    else:
        _print("Karmada has no members.")


def _address(socket: Path | None) -> str:
    """Return the gRPC target. Raises NoEnvironment where none is given and there is no local Karmada."""
    if socket is None:
        from towpath.local.store import default_root, load

        try:
            socket = load(default_root()).plugin_socket
        except NoEnvironment as error:
            raise NoEnvironment(f"{error}, --socket PATH asks another plugin") from None
    return f"unix:{socket.absolute()}"


def _print_json(answer: Message) -> None:
    import json

    from google.protobuf.json_format import MessageToDict

    document = MessageToDict(answer, always_print_fields_with_no_presence=True)
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def _print(*parts: str | Table) -> None:
    from rich.console import Console

    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    console = Console(width=width, markup=False, highlight=False, emoji=False)
    for part in parts:
        console.print(part)


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 3, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _members_table(answer: pb.ListMembersResponse) -> Table:
    table = _table("member", "cluster key", "gateway", "imports")
    for member in answer.members:
        gateway = f"{member.gateway_host}:{member.gateway_port}" if member.gateway_host else "none"
        table.add_row(member.name, member.cluster_key, gateway, ", ".join(member.dialects) or "nothing")
    return table


def _print_explanation(answer: pb.ExplainResponse) -> None:
    parts: list[str | Table] = [f"{answer.namespace}/{answer.name} ({answer.dialect})", ""]
    if answer.exporters:
        exporters = _table("exported by", "cluster key")
        for exporter in answer.exporters:
            exporters.add_row(exporter.cluster, exporter.cluster_key)
        parts.append(exporters)
    else:
        parts.append("No cluster exports it.")
    if answer.excluded:
        excluded = _table("not exported by", "reason", "")
        for exclusion in answer.excluded:
            excluded.add_row(exclusion.cluster, exclusion.reason, exclusion.text)
        parts += ["", excluded]
    parts += ["", _imports_table(answer) if answer.importers else "No cluster imports it."]
    _print(*parts)


def _imports_table(answer: pb.ExplainResponse) -> Table:
    table = _table("imported by", "port", "from", "address")
    for importer in answer.importers:
        cluster = importer.cluster
        for port in importer.ports:
            label = _port_label(port)
            for endpoint in port.endpoints:
                address = f"{endpoint.ip}:{endpoint.port}{endpoint.path}"
                table.add_row(cluster, label, endpoint.cluster_key, address)
                cluster = label = ""  # said once, above
    return table


def _port_label(port: pb.Port) -> str:
    """Return ``8080/TCP http, kubernetes.io/h2c``."""
    extra = ", ".join(text for text in (port.name, port.app_protocol) if text)
    return f"{port.port}/{port.protocol} {extra}".rstrip()

"""``towpath explain`` and ``towpath members``: questions to a running plugin."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from towpath.cli import plugin_options
from towpath.cli.output import MemberRow, explanation, members_table, print_json, show
from towpath.cli.running import run
from towpath.errors import NoEnvironment, UsageError
from towpath.model.keys import Dialect

if TYPE_CHECKING:
    from towpath.proto.v1alpha1.service_pb2 import Cluster


class Output(StrEnum):
    """Format of the output."""

    TABLE = "table"
    JSON = "json"


Socket = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        envvar="TOWPATH_SOCKET",
        help="Unix socket of the plugin. The plugin of the local Karmada is used without it.",
        show_default=False,
    ),
]
Form = Annotated[Output, typer.Option("--output", "-o", help="Format of the output.")]


def explain(
    service: Annotated[str, typer.Argument(metavar="NAMESPACE/NAME", help="The exported service.")],
    dialect: Annotated[
        Dialect | None,
        typer.Option(help="API group of the ServiceExport.", show_default="the one that exists"),
    ] = None,
    socket: Socket = None,
    plugin: plugin_options.At = None,
    plugin_cert: plugin_options.Cert = None,
    plugin_key: plugin_options.Key = None,
    plugin_ca: plugin_options.Ca = None,
    output: Form = Output.TABLE,
) -> None:
    """Show which clusters export a service, why the others do not, and what each cluster imports."""
    from towpath.rpc import client, convert

    namespace, slash, name = service.partition("/")
    if not (namespace and slash and name) or "/" in name:
        raise UsageError(f"Invalid service {service!r}: must be NAMESPACE/NAME.")
    target, files = _target(socket, plugin, plugin_cert, plugin_key, plugin_ca)
    answer = run(client.explain(target, namespace, name, dialect or "", files))
    if output is Output.JSON:
        print_json(answer)
    else:
        show(*explanation(convert.explanation_of(answer)))


def members(
    socket: Socket = None,
    plugin: plugin_options.At = None,
    plugin_cert: plugin_options.Cert = None,
    plugin_key: plugin_options.Key = None,
    plugin_ca: plugin_options.Ca = None,
    output: Form = Output.TABLE,
) -> None:
    """List the member clusters: key, state, gateway and API groups."""
    from towpath.rpc import client

    answer = run(client.list_clusters(*_target(socket, plugin, plugin_cert, plugin_key, plugin_ca)))
    if output is Output.JSON:
        print_json(answer)
    elif answer.clusters:
        show(members_table([_row(cluster) for cluster in answer.clusters]))
    else:
        show("Karmada has no members.")


def _row(cluster: Cluster) -> MemberRow:
    state = f"Lost since {cluster.lost_since}" if cluster.lost_since else cluster.state
    return MemberRow(
        cluster.name,
        cluster.cluster_key,
        cluster.gateway_host,
        cluster.gateway_port,
        cluster.dialects,
        f"{state}, drained" if cluster.drained else state,
        cluster.gateway_source,
    )


def _target(
    socket: Path | None, plugin: str | None, cert: Path | None, key: Path | None, ca: Path | None
) -> plugin_options.Reached:
    """Return where the plugin is. Raises NoEnvironment without an option and without a local Karmada."""
    found = plugin_options.reached(socket, plugin, cert, key, ca, option="--socket")
    if found is not None:
        return found
    from towpath.local.store import default_root, load

    try:
        return plugin_options.Reached(f"unix:{load(default_root()).plugin_socket}")
    except NoEnvironment as error:
        raise NoEnvironment(f"{error} To ask another plugin, pass --socket or --plugin.") from None

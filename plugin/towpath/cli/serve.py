"""``towpath serve``: the long-running parts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from towpath import __version__
from towpath.cli.logs import LogFormat, log_as
from towpath.cli.plugin_options import check_address
from towpath.cli.running import run
from towpath.cli.serve_net import net
from towpath.cli.serve_webhook import webhook
from towpath.errors import ApiError, UsageError

if TYPE_CHECKING:
    from towpath.rpc.server import Port

_IN_TROUBLE = 429
"""From this HTTP status on an answer says something of the apiserver, not of who asks."""
app = typer.Typer(help="Run a part of Towpath until it is told to stop.", no_args_is_help=True)
app.command()(webhook)
app.command()(net)


@app.command()
def plugin(
    kubeconfig: Annotated[
        Path | None,
        typer.Option(
            envvar="KUBECONFIG", help="Of the Karmada apiserver; none inside a pod.", show_default=False
        ),
    ] = None,
    context: Annotated[str | None, typer.Option(help="Context in it; else the current one.")] = None,
    socket: Annotated[Path | None, typer.Option(help="Unix socket to answer gRPC calls on.")] = None,
    grpc_listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where to answer gRPC calls of clients with a certificate."),
    ] = None,
    grpc_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificate for it, PEM; read anew when it changes.")
    ] = None,
    grpc_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Key of the certificate.")] = None,
    grpc_client_ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CA of the clients' certificates.")
    ] = None,
    health: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where to answer /healthz, /readyz and /metrics."),
    ] = None,
    lease: Annotated[
        str | None,
        typer.Option(
            metavar="NAMESPACE/NAME", help="Lease by which one of several plugins leads; the others stand by."
        ),
    ] = None,
    log_format: Annotated[LogFormat, typer.Option(help="How to log.")] = LogFormat.JSON,
) -> None:
    """Derive imports and policies from exports, and keep them right, until SIGTERM."""
    if lease is not None and not all(lease.partition("/")[::2]):
        raise UsageError(f"--lease {lease!r}: write NAMESPACE/NAME")
    log_as(log_format)
    port = _port(grpc_listen, grpc_cert, grpc_key, grpc_client_ca)
    try:
        run(_plugin(kubeconfig, context, socket=socket, port=port, health=health, lease=lease))
    except KeyboardInterrupt:
        structlog.get_logger().info("stopped")


def _port(address: str | None, cert: Path | None, key: Path | None, ca: Path | None) -> Port | None:
    """Return where to answer over TCP, None for nowhere. Raises UsageError for half of it."""
    if address is None and cert is key is ca is None:
        return None
    if address is None or cert is None or key is None or ca is None:
        raise UsageError("--grpc-listen needs --grpc-cert, --grpc-key and --grpc-client-ca, and they need it")
    check_address(address, "--grpc-listen")
    from towpath.rpc.credentials import Files
    from towpath.rpc.server import Port

    return Port(address, Files(cert, key, ca))


async def _plugin(
    kubeconfig: Path | None,
    context: str | None,
    *,
    socket: Path | None,
    port: Port | None,
    health: str | None,
    lease: str | None,
) -> None:
    from towpath.karmada.client import Client
    from towpath.plugin import serve

    user_agent = f"towpath-plugin/{__version__}"
    async with await Client.connect(kubeconfig, context=context, user_agent=user_agent) as client:
        # A wrong address or a refused certificate is told at once. An apiserver in trouble is waited for.
        try:
            await client.json("GET", "/version", deadline=10)
        except ApiError as error:
            if error.status < _IN_TROUBLE:
                raise
        await serve(client, socket=socket, port=port, health=health, lease=lease)

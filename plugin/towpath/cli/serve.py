"""``towpath serve``: the long-running processes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from towpath import __version__
from towpath.cli import kubeconfig as options
from towpath.cli.logs import LogFormat, log_as
from towpath.cli.running import run
from towpath.cli.serve_net import net
from towpath.cli.serve_page import page
from towpath.cli.serve_webhook import webhook
from towpath.errors import ApiError, UsageError
from towpath.serving.host_port import parse_host_port

if TYPE_CHECKING:
    from towpath.rpc.server import Port
    from towpath.traffic.prometheus import Target

_APISERVER_FAILS = 429
"""From this HTTP status on, an error is the apiserver's and not the caller's."""
app = typer.Typer(
    help="Run the plugin, the webhook or another long-running process until SIGTERM.", no_args_is_help=True
)
app.command()(webhook)
app.command()(net)
app.command()(page)


@app.command()
def plugin(
    kubeconfig: options.Karmada = None,
    context: options.Context = None,
    socket: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Unix socket for gRPC calls.", show_default=False)
    ] = None,
    grpc_listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Address for gRPC calls with mutual TLS.", show_default=False),
    ] = None,
    grpc_cert: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Certificate of that address, in PEM. A new file is used at once.",
            show_default=False,
        ),
    ] = None,
    grpc_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Key of that certificate.", show_default=False)
    ] = None,
    grpc_client_ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CA of the client certificates.", show_default=False)
    ] = None,
    health: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Address for /healthz, /readyz and /metrics.", show_default=False
        ),
    ] = None,
    lease: Annotated[
        str | None,
        typer.Option(
            metavar="NAMESPACE/NAME",
            help="Lease for leader election; the name begins with towpath. Of several plugins one works.",
            show_default=False,
        ),
    ] = None,
    prometheus: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Prometheus that scrapes `towpath serve net` in the members. The page then shows the "
            "traffic between them.",
            show_default=False,
        ),
    ] = None,
    prometheus_cluster_label: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Label with the member's name that this Prometheus gives its series."
        ),
    ] = "cluster",
    prometheus_token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Bearer token for Prometheus, read each time.", show_default=False),
    ] = None,
    prometheus_ca: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="CA of its certificate, if the system does not trust it.", show_default=False
        ),
    ] = None,
    log_format: Annotated[LogFormat, typer.Option(help="Format of the log.")] = LogFormat.JSON,
) -> None:
    """Run the plugin, which derives imports and policies from exports, until SIGTERM."""
    if lease is not None and not all(lease.partition("/")[::2]):
        raise UsageError(f"--lease: Invalid value {lease!r}: must be NAMESPACE/NAME.")
    measured = _prometheus(prometheus, prometheus_cluster_label, prometheus_token_file, prometheus_ca)
    log_as(log_format)
    port = _port(grpc_listen, grpc_cert, grpc_key, grpc_client_ca)
    try:
        run(
            _plugin(
                kubeconfig, context, socket=socket, port=port, health=health, lease=lease, prometheus=measured
            )
        )
    except KeyboardInterrupt:
        structlog.get_logger().info("stopped")


def _port(address: str | None, cert: Path | None, key: Path | None, ca: Path | None) -> Port | None:
    """Return the address for mutual TLS, None without one. Raises UsageError for part of the options."""
    if address is None and cert is key is ca is None:
        return None
    if address is None or cert is None or key is None or ca is None:
        raise UsageError(
            "--grpc-listen, --grpc-cert, --grpc-key and --grpc-client-ca: Pass all four or none."
        )
    parse_host_port(address, "--grpc-listen", needs_host=True)
    from towpath.rpc.credentials import Files
    from towpath.rpc.server import Port

    return Port(address, Files(cert, key, ca))


def _prometheus(url: str | None, label: str, token: Path | None, ca: Path | None) -> Target | None:
    """Return what measures the traffic, None without a URL. Raises UsageError."""
    if url is None:
        if token or ca:
            raise UsageError("--prometheus-token-file and --prometheus-ca: Pass --prometheus URL as well.")
        return None
    from towpath.traffic.prometheus import target

    return target(url, label, token, ca)


async def _plugin(
    kubeconfig: str | None,
    context: str | None,
    *,
    socket: Path | None,
    port: Port | None,
    health: str | None,
    lease: str | None,
    prometheus: Target | None,
) -> None:
    from towpath.karmada.client import Client
    from towpath.plugin import serve

    user_agent = f"towpath-plugin/{__version__}"
    async with await Client.connect(kubeconfig, context=context, user_agent=user_agent) as client:
        # A wrong address or a refused certificate ends the command. An apiserver that fails may recover.
        try:
            await client.json("GET", "/version", deadline=10)
        except ApiError as error:
            if error.status < _APISERVER_FAILS:
                raise
        await serve(client, socket=socket, port=port, health=health, lease=lease, prometheus=prometheus)

"""``towpath serve``: the long-running parts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import structlog
import typer

from towpath import __version__
from towpath.cli.logs import LogFormat, log_as
from towpath.cli.running import run
from towpath.cli.serve_webhook import webhook
from towpath.errors import ApiError, UsageError

_IN_TROUBLE = 429
"""From this HTTP status on an answer says something of the apiserver, not of who asks."""
app = typer.Typer(help="Run a part of Towpath until it is told to stop.", no_args_is_help=True)
app.command()(webhook)


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
    try:
        run(_plugin(kubeconfig, context, socket, health, lease))
    except KeyboardInterrupt:
        structlog.get_logger().info("stopped")


async def _plugin(
    kubeconfig: Path | None, context: str | None, socket: Path | None, health: str | None, lease: str | None
) -> None:
    from towpath.karmada.client import Client
    from towpath.serve_plugin import serve

    user_agent = f"towpath-plugin/{__version__}"
    async with await Client.connect(kubeconfig, context=context, user_agent=user_agent) as client:
        # A wrong address or a refused certificate is told at once. An apiserver in trouble is waited for.
        try:
            await client.json("GET", "/version", deadline=10)
        except ApiError as error:
            if error.status < _IN_TROUBLE:
                raise
        await serve(client, socket=socket, health=health, lease=lease)

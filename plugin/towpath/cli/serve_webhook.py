"""``towpath serve webhook``: the admission webhook and Karmada's interpreter webhook."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import structlog
import typer

from towpath.cli.logs import LogFormat, log_as
from towpath.cli.running import run


def webhook(
    tls_cert: Annotated[Path, typer.Option(help="Certificate to serve with, and its chain, in PEM.")],
    tls_key: Annotated[Path, typer.Option(help="Its key, in PEM, without a password.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8443,
    plugin_socket: Annotated[
        Path | None,
        typer.Option(help="Unix socket of the plugin, which knows more than one object.", show_default=False),
    ] = None,
    health: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Where to answer /healthz, /readyz and /metrics in the clear."
        ),
    ] = None,
    log_format: Annotated[LogFormat, typer.Option(help="How to log.")] = LogFormat.JSON,
) -> None:
    """Answer the apiserver about objects on their way in, and Karmada about their state, until SIGTERM."""
    import uvloop

    from towpath_webhook.run import run as serve

    log_as(log_format)
    plugin = None if plugin_socket is None else f"unix:{plugin_socket.absolute()}"
    try:
        run(
            serve(host, port, cert=tls_cert, key=tls_key, plugin=plugin, health=health),
            loop=uvloop.new_event_loop,
        )
    except KeyboardInterrupt:
        structlog.get_logger().info("stopped")

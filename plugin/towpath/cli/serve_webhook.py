"""``towpath serve webhook``: the admission webhook."""

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
    log_format: Annotated[LogFormat, typer.Option(help="How to log.")] = LogFormat.JSON,
) -> None:
    """Answer the apiserver about objects on their way in, until SIGTERM."""
    from towpath_webhook.server import serve

    log_as(log_format)
    try:
        run(serve(host, port, cert=tls_cert, key=tls_key))
    except KeyboardInterrupt:
        structlog.get_logger().info("stopped")

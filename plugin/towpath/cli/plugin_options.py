"""How commands reach a plugin: on its Unix socket, or over TCP with mutual TLS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from towpath.errors import UsageError
from towpath.serving.host_port import parse_host_port

if TYPE_CHECKING:
    from towpath.rpc.credentials import Files

_HIGHEST_PORT = 65535
At = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        envvar="TOWPATH_PLUGIN",
        help="Address of the plugin's gRPC port, with the three options that follow.",
        show_default=False,
    ),
]
Cert = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", envvar="TOWPATH_PLUGIN_CERT", help="Client certificate, in PEM.", show_default=False
    ),
]
Key = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", envvar="TOWPATH_PLUGIN_KEY", help="Key of that certificate.", show_default=False
    ),
]
Ca = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", envvar="TOWPATH_PLUGIN_CA", help="CA of the plugin's certificate.", show_default=False
    ),
]


class Reached(NamedTuple):
    """A gRPC target, and the certificates for it: none for a Unix socket."""

    target: str
    files: Files | None = None


def reached(
    socket: Path | None,
    address: str | None,
    cert: Path | None,
    key: Path | None,
    ca: Path | None,
    *,
    option: str,
) -> Reached | None:
    """Return where the plugin is, None if no option says so; ``option`` names the one of the socket.

    Raises UsageError for options that do not go together.
    """
    if address is None:
        if cert or key or ca:
            raise UsageError("--plugin-cert, --plugin-key and --plugin-ca: Pass --plugin HOST:PORT as well.")
        return Reached(f"unix:{socket.absolute()}") if socket else None
    if socket is not None:
        raise UsageError(f"--plugin and {option}: Pass only one of them.")
    if cert is None or key is None or ca is None:
        raise UsageError("--plugin: Pass --plugin-cert, --plugin-key and --plugin-ca as well.")
    parse_host_port(address, "--plugin", needs_host=True)
    from towpath.rpc.credentials import Files

    return Reached(address, Files(cert, key, ca))

"""How commands reach a plugin: on its unix socket, or elsewhere by mutual TLS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from towpath.errors import UsageError

if TYPE_CHECKING:
    from towpath.rpc.credentials import Files

At = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        envvar="TOWPATH_PLUGIN",
        help="The plugin elsewhere, by mutual TLS with the three files.",
        show_default=False,
    ),
]
Cert = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", envvar="TOWPATH_PLUGIN_CERT", help="Certificate to show to the plugin, in PEM."
    ),
]
Key = Annotated[
    Path | None,
    typer.Option(metavar="FILE", envvar="TOWPATH_PLUGIN_KEY", help="Key of that certificate."),
]
Ca = Annotated[
    Path | None,
    typer.Option(metavar="FILE", envvar="TOWPATH_PLUGIN_CA", help="CA of the plugin's own certificate."),
]


class Reached(NamedTuple):
    """A gRPC target, and the certificates for it: none for a unix socket."""

    target: str
    files: Files | None = None


def reached(
    socket: Path | None, at: str | None, cert: Path | None, key: Path | None, ca: Path | None, *, option: str
) -> Reached | None:
    """Return where to ask, None if nothing is said of it; ``option`` names the socket's.

    Raises UsageError for options that do not go together.
    """
    if at is None:
        if cert or key or ca:
            raise UsageError("--plugin-cert, --plugin-key and --plugin-ca go with --plugin HOST:PORT")
        return Reached(f"unix:{socket.absolute()}") if socket else None
    if socket is not None:
        raise UsageError(f"--plugin and {option} are two places: give one")
    if cert is None or key is None or ca is None:
        raise UsageError("--plugin needs --plugin-cert, --plugin-key and --plugin-ca")
    check_address(at, "--plugin")
    from towpath.rpc.credentials import Files

    return Reached(at, Files(cert, key, ca))


def check_address(address: str, option: str) -> None:
    """Raise UsageError if what an option gives is no ``host:port``."""
    host, _, number = address.rpartition(":")
    if not host or not number.isdigit():
        raise UsageError(f"{option} {address!r}: write HOST:PORT")

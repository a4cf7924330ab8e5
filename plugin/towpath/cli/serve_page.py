"""``towpath serve page``: the cluster set as a picture, live, in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from towpath.cli import plugin_options
from towpath.cli.logs import LogFormat, log_as
from towpath.cli.running import run
from towpath.errors import NoEnvironment, UsageError
from towpath.serving.host_port import parse_host_port

if TYPE_CHECKING:
    from towpath.page.access import Access
    from towpath.page.tls import TlsFiles


def page(
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Address for browsers.")
    ] = "127.0.0.1:8480",
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File with the token that viewers have to know. A new one is used at once.",
            show_default=False,
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Certificate of the address, in PEM: the page is served with TLS. A new file is used.",
            show_default=False,
        ),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Key of that certificate.", show_default=False)
    ] = None,
    client_ca: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="CA of the certificates that viewers have to show.", show_default=False
        ),
    ] = None,
    no_authentication: Annotated[
        bool,
        typer.Option(
            "--no-authentication", help="Show the page to everyone on this machine. For loopback addresses."
        ),
    ] = False,
    socket: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            envvar="TOWPATH_SOCKET",
            help="Unix socket of the plugin.",
            show_default="that of the local Karmada",
        ),
    ] = None,
    plugin: plugin_options.At = None,
    plugin_cert: plugin_options.Cert = None,
    plugin_key: plugin_options.Key = None,
    plugin_ca: plugin_options.Ca = None,
    health: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Address for /healthz, /readyz and /metrics.", show_default=False
        ),
    ] = None,
    log_format: Annotated[LogFormat, typer.Option(help="Format of the log.")] = LogFormat.JSON,
) -> None:
    """Show the cluster set as a picture, live, in a browser, until SIGTERM.

    Viewers need the token, or with --client-ca a certificate; with both options they need both.
    """
    host = parse_host_port(listen, "--listen").host
    tls = _tls(tls_cert, tls_key, client_ca)
    access = _access(host, token_file, client_ca, is_open=no_authentication)
    reached = plugin_options.reached(socket, plugin, plugin_cert, plugin_key, plugin_ca, option="--socket")
    log_as(log_format)
    from towpath.page.process import serve

    try:
        run(serve(*(reached or _local()), listen, access, tls=tls, health=health))
    except KeyboardInterrupt:
        structlog.get_logger().info("stopped")


def _local() -> plugin_options.Reached:
    """Return where the plugin of the local Karmada is. Raises NoEnvironment."""
    from towpath.local.store import default_root, load

    try:
        env = load(default_root())
    except NoEnvironment as error:
        raise NoEnvironment(f"{error} To ask elsewhere, pass --socket or --plugin of a plugin.") from None
    return plugin_options.Reached(f"unix:{env.plugin_socket}")


def _tls(cert: Path | None, key: Path | None, client_ca: Path | None) -> TlsFiles | None:
    """Return the files for TLS, None without. Raises UsageError for part of the options."""
    if cert is None and key is None:
        if client_ca is not None:
            raise UsageError("--client-ca: Pass --tls-cert and --tls-key as well.")
        return None
    if cert is None or key is None:
        raise UsageError("--tls-cert and --tls-key: Pass both or none.")
    from towpath.page.tls import TlsFiles

    return TlsFiles(cert, key, client_ca)


def _access(host: str, token_file: Path | None, client_ca: Path | None, *, is_open: bool) -> Access:
    """Return who may see the page. Raises UsageError if that is everyone who reaches the address."""
    from towpath.page.access import Everyone, LocalOnly, Token, is_loopback

    if is_open and (token_file or client_ca):
        raise UsageError("--no-authentication: Pass neither --token-file nor --client-ca with it.")
    if is_open:
        if not is_loopback(host):
            raise UsageError(
                f"--no-authentication: {host or 'Every interface'} is not a loopback address, and others "
                f"would see the page. Listen on 127.0.0.1, or pass --token-file."
            )
        return LocalOnly()
    if token_file is not None:
        return Token(token_file)
    if client_ca is not None:
        return Everyone()
    raise UsageError(
        "--token-file: Required value. Pass it, --client-ca, or on a loopback address --no-authentication."
    )

"""``towpath serve webhook``: the webhook that the apiserver and Karmada ask."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from towpath import __version__
from towpath.cli import kubeconfig as options
from towpath.cli import plugin_options
from towpath.cli.logs import LogFormat, log_as
from towpath.cli.running import run
from towpath.errors import UsageError
from towpath_webhook.certificates.tls import TlsVersion

if TYPE_CHECKING:
    from towpath_webhook.plugin.client import Address


def webhook(
    kubeconfig: options.Karmada = None,
    context: options.Context = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(help="Certificate and chain in PEM, looked after by others; else one is made."),
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key, in PEM, without a password.")] = None,
    tls_ca: Annotated[
        Path | None,
        typer.Option(help="CAs of that certificate: the configurations in Karmada are kept trusting them."),
    ] = None,
    client_ca: Annotated[
        Path | None,
        typer.Option(help="CAs of clients: admission is answered to those only that show a certificate."),
    ] = None,
    tls_min_version: Annotated[
        TlsVersion, typer.Option(help="Lowest version of TLS that is spoken.")
    ] = TlsVersion.V1_3,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8443,
    plugin_socket: Annotated[
        Path | None,
        typer.Option(help="Unix socket of the plugin, which knows more than one object.", show_default=False),
    ] = None,
    plugin: plugin_options.At = None,
    plugin_cert: plugin_options.Cert = None,
    plugin_key: plugin_options.Key = None,
    plugin_ca: plugin_options.Ca = None,
    health: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Where to answer /healthz, /readyz and /metrics in the clear."
        ),
    ] = None,
    drain: Annotated[
        float, typer.Option(min=0, help="Seconds of going on when told to stop, already not ready.")
    ] = 5.0,
    log_format: Annotated[LogFormat, typer.Option(help="How to log.")] = LogFormat.JSON,
) -> None:
    """Answer the apiserver about objects on their way in, and Karmada about their state, until SIGTERM."""
    import uvloop

    if (tls_cert is None) != (tls_key is None):
        raise UsageError("--tls-cert and --tls-key go together")
    if tls_ca and not tls_cert:
        raise UsageError("--tls-ca goes with --tls-cert")
    log_as(log_format)
    address = _address(
        plugin_options.reached(
            plugin_socket, plugin, plugin_cert, plugin_key, plugin_ca, option="--plugin-socket"
        )
    )
    files = (tls_cert, tls_key, tls_ca) if tls_cert and tls_key else None
    try:
        run(
            _serve(
                kubeconfig, context, files, (tls_min_version, client_ca), host, port, drain, address, health
            ),
            loop=uvloop.new_event_loop,
        )
    except KeyboardInterrupt:
        structlog.get_logger().info("stopped")


async def _serve(
    kubeconfig: str | None,
    context: str | None,
    files: tuple[Path, Path, Path | None] | None,
    spoken: tuple[TlsVersion, Path | None],
    host: str,
    port: int,
    drain: float,
    plugin: Address | None,
    health: str | None,
) -> None:
    from towpath_webhook.assembly import application
    from towpath_webhook.certificates.keeper import LOCAL, Certificates, FilePair, OwnAuthority
    from towpath_webhook.certificates.tls import Context
    from towpath_webhook.http.server import serve
    from towpath_webhook.registration.store import Store

    tls = Context(*spoken)
    async with AsyncExitStack() as open_:
        store = None
        if files is None or files[2]:
            from towpath.karmada.client import Client

            agent = f"towpath-webhook/{__version__}"
            client = await Client.connect(kubeconfig, context=context, user_agent=agent, pool=8)
            store = Store(await open_.enter_async_context(client))
        certificates: Certificates
        if files is not None:
            cert, key, ca = files
            certificates = FilePair(tls, store, cert=cert, key=key, ca=ca)
        else:
            assert store is not None  # noqa: S101 - just made
            certificates = OwnAuthority(tls, store, names=(*LOCAL, host))
        app = await open_.enter_async_context(application(plugin, health))
        await serve(app, host, port, certificates, drain=drain)


def _address(plugin: plugin_options.Reached | None) -> Address | None:
    """Return whom to ask, with certificates that are read anew for each connection."""
    if plugin is None:
        return None
    from towpath_webhook.plugin.client import Address

    if plugin.files is None:
        return Address(plugin.target)
    from towpath.rpc.credentials import for_client

    return Address(plugin.target, partial(for_client, plugin.files))

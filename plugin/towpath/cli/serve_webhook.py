"""``towpath serve webhook``: the webhook that the apiserver and Karmada call."""

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
    from towpath.karmada.client import Client
    from towpath_webhook.plugin.client import PluginAddress


def webhook(
    kubeconfig: options.Karmada = None,
    context: options.Context = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            help="Certificate and chain in PEM, renewed by others. Default: the webhook issues its own."
        ),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="Key of that certificate in PEM, without a password.")
    ] = None,
    tls_ca: Annotated[
        Path | None,
        typer.Option(
            help="CAs of that certificate: the webhook keeps them in its configurations in Karmada."
        ),
    ] = None,
    client_ca: Annotated[
        Path | None,
        typer.Option(help="CAs of client certificates: admission requests without one are refused."),
    ] = None,
    tls_min_version: Annotated[
        TlsVersion, typer.Option(help="Lowest TLS version that is accepted.")
    ] = TlsVersion.V1_3,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8443,
    name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST",
            help="Host by which the apiserver calls the webhook, for the certificate that it issues. Without "
            "it, each replica reads the host from the registration, within ten seconds.",
            show_default=False,
        ),
    ] = None,
    plugin_socket: Annotated[
        Path | None,
        typer.Option(
            help="Unix socket of the plugin, for checks that need more than one object.", show_default=False
        ),
    ] = None,
    plugin: plugin_options.At = None,
    plugin_cert: plugin_options.Cert = None,
    plugin_key: plugin_options.Key = None,
    plugin_ca: plugin_options.Ca = None,
    health: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Address of /healthz, /readyz and /metrics, without TLS."),
    ] = None,
    drain: Annotated[
        float, typer.Option(min=0, help="Seconds to keep serving after SIGTERM while reporting not ready.")
    ] = 5.0,
    log_format: Annotated[LogFormat, typer.Option(help="Format of the log.")] = LogFormat.JSON,
) -> None:
    """Run the webhook that the apiserver and Karmada call, until SIGTERM."""
    import uvloop

    if (tls_cert is None) != (tls_key is None):
        raise UsageError("--tls-cert, --tls-key: Only one is set. Set both or neither.")
    if tls_ca and not tls_cert:
        raise UsageError(
            "--tls-ca: The option needs a certificate from a file. Set --tls-cert and --tls-key."
        )
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
                kubeconfig,
                context,
                files,
                (tls_min_version, client_ca),
                (host, *(name or ())),
                port,
                drain,
                address,
                health,
            ),
            loop=uvloop.new_event_loop,
        )
    except KeyboardInterrupt:
        structlog.get_logger().info("stopped")


async def _serve(
    kubeconfig: str | None,
    context: str | None,
    files: tuple[Path, Path, Path | None] | None,
    tls_options: tuple[TlsVersion, Path | None],
    names: tuple[str, ...],
    port: int,
    drain: float,
    plugin: PluginAddress | None,
    health: str | None,
) -> None:
    """Serve at the first of ``names``, with a certificate for all of them."""
    from towpath_webhook.assembly import application
    from towpath_webhook.certificates.keeper import LOCAL_NAMES, CertificateKeeper, FilePair, OwnAuthority
    from towpath_webhook.certificates.tls import ServerTls
    from towpath_webhook.http.server import serve
    from towpath_webhook.registration.store import Store

    tls = ServerTls(*tls_options)
    async with AsyncExitStack() as open_:
        store = client = None
        if files is None or files[2]:
            from towpath.karmada.client import Client

            agent = f"towpath-webhook/{__version__}"
            client = await Client.connect(kubeconfig, context=context, user_agent=agent, pool=8)
            store = Store(await open_.enter_async_context(client))
        keeper: CertificateKeeper
        if files is not None:
            cert, key, ca = files
            keeper = FilePair(tls, store, cert=cert, key=key, ca=ca)
        else:
            assert store is not None  # noqa: S101 - just made
            keeper = OwnAuthority(tls, store, names=(*LOCAL_NAMES, *names))
        app = await open_.enter_async_context(application(plugin, health))
        if client is not None:
            app.metrics.report_credentials(partial(_expires, client))
        await serve(app, names[0], port, keeper, drain_seconds=drain)


def _expires(client: Client) -> float | None:
    return client.expires


def _address(plugin: plugin_options.Reached | None) -> PluginAddress | None:
    """Return the address of the plugin; certificates are read again for each connection."""
    if plugin is None:
        return None
    from towpath_webhook.plugin.client import PluginAddress

    if plugin.files is None:
        return PluginAddress(plugin.target)
    from towpath.rpc.credentials import for_client

    return PluginAddress(plugin.target, partial(for_client, plugin.files))

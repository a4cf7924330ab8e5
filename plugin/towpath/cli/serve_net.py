"""``towpath serve net``: the agent of the data path, beside the Envoy of one node of a member."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from towpath import __version__
from towpath.cli import kubeconfig as options
from towpath.cli.logs import LogFormat, log_as
from towpath.cli.running import run
from towpath.errors import UsageError
from towpath.serving.host_port import HIGHEST_PORT

if TYPE_CHECKING:
    from towpath.datapath.world import Settings

_APISERVER_SECONDS = 60.0
"""How long an agent that starts waits for its apiserver."""


def net(
    kubeconfig: Annotated[
        str | None,
        typer.Option(
            envvar="KUBECONFIG",
            metavar="FILE",
            help="Kubeconfig of the member's apiserver. Inside a pod the ServiceAccount is used without it.",
            show_default=False,
        ),
    ] = None,
    context: options.Context = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            envvar="TOWPATH_CLUSTER",
            help="Name of the member, in logs and error pages. By default as Karmada has written it into "
            "the ConfigMap towpath-net-envoy.",
            show_default=False,
        ),
    ] = None,
    node: Annotated[
        str, typer.Option(envvar="NODE_NAME", help="Name of the node that the proxy runs on.")
    ] = "",
    service: Annotated[
        str, typer.Option(metavar="NAMESPACE/NAME", help="Service in front of the proxies of all nodes.")
    ] = "towpath-system/towpath-net",
    socket: Annotated[
        Path, typer.Option(help="Unix socket on which Envoy fetches its configuration.")
    ] = Path("/run/towpath/xds.sock"),
    envoy_admin: Annotated[
        Path, typer.Option(metavar="SOCKET", help="Unix socket of Envoy's admin interface.")
    ] = Path("/run/towpath/admin.sock"),
    bind: Annotated[str, typer.Option(metavar="ADDRESS", help="Address on which Envoy listens.")] = "0.0.0.0",  # noqa: S104 - in the pod's network namespace
    gateway_port: Annotated[
        int, typer.Option(min=1, max=HIGHEST_PORT, help="Port on which Envoy takes calls of other clusters.")
    ] = 8080,
    listener_ports: Annotated[
        str,
        typer.Option(metavar="FIRST-LAST", help="Ports on which Envoy takes calls of this cluster's pods."),
    ] = "20000-29999",
    access_log: Annotated[
        str, typer.Option(metavar="FILE", help="File for the access log of the gateway; empty for none.")
    ] = "/dev/stdout",
    health: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Address for /healthz, /readyz and /metrics.", show_default=False
        ),
    ] = None,
    drain: Annotated[
        float, typer.Option(min=0, help="Seconds in which Envoy ends its connections after SIGTERM.")
    ] = 0.0,
    log_format: Annotated[LogFormat, typer.Option(help="Format of the log.")] = LogFormat.JSON,
) -> None:
    """Configure this node's Envoy from the member's imports, exports and policies, until SIGTERM."""
    if not all(service.partition("/")[::2]):
        raise UsageError(f"--service: Invalid value {service!r}: must be NAMESPACE/NAME.")
    first, count = _ports(listener_ports)
    if gateway_port in range(first, first + count):
        raise UsageError(
            f"--gateway-port: Invalid value {gateway_port}: must not be one of --listener-ports."
        )
    log_as(log_format)
    from towpath.datapath.world import ServiceName, Settings

    settings = Settings(
        cluster or "",
        proxies=ServiceName(*service.split("/", 1)),
        bind=bind,
        gateway_port=gateway_port,
        first_port=first,
        ports=count,
        access_log=access_log,
    )
    try:
        run(
            _serve(
                kubeconfig,
                context,
                settings,
                node=node,
                socket=socket,
                admin=envoy_admin,
                health=health,
                drain=drain,
            )
        )
    except KeyboardInterrupt:
        structlog.get_logger().info("stopped")


async def _serve(
    kubeconfig: str | None,
    context: str | None,
    settings: Settings,
    *,
    node: str,
    socket: Path,
    admin: Path,
    health: str | None,
    drain: float,
) -> None:
    from towpath.karmada.client import Client
    from towpath.net.agent import serve
    from towpath.net.identity import member_name
    from towpath.polling import accepted

    user_agent = f"towpath-net/{__version__}"
    async with await Client.connect(kubeconfig, context=context, user_agent=user_agent, pool=24) as client:
        if not settings.cluster:
            name = await accepted(
                lambda: member_name(client, settings.proxies.namespace), patience=_APISERVER_SECONDS
            )
            settings = replace(settings, cluster=name)
        await serve(
            client,
            settings,
            node=node,
            socket=socket.absolute(),
            admin=admin,
            health=health,
            drain_seconds=drain,
        )


def _ports(text: str) -> tuple[int, int]:
    """Return the first port of a range and how many there are. Raises UsageError."""
    first, dash, last = text.partition("-")
    if not dash or not (first.isascii() and first.isdecimal() and last.isascii() and last.isdecimal()):
        raise UsageError(f"--listener-ports: Invalid value {text!r}: must be FIRST-LAST.")
    if not 1 <= int(first) <= int(last) <= HIGHEST_PORT:
        raise UsageError(f"--listener-ports: Invalid value {text!r}: must be a range in 1 to {HIGHEST_PORT}.")
    return int(first), int(last) - int(first) + 1

"""``towpath status``: the fleet at a glance, and whether everything is in sync."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from towpath.cli import answers, plugin_options
from towpath.cli import kubeconfig as options
from towpath.cli.answers import answering, client_of
from towpath.cli.output import Output, document, print_document, show
from towpath.cli.running import run
from towpath.derivation.chain import LinkState, Verdict
from towpath.setup.checks.evidence import Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from towpath.karmada.client import Client
    from towpath.proto.v1alpha1.inventory_pb2 import (
        ListClustersResponse,
        ListServicesResponse,
        ServiceSummary,
    )

    Fleet = tuple[ListClustersResponse, ListServicesResponse]

NOT_IN_SYNC = 1
"""The exit code while a service is pending or broken."""
Namespace = Annotated[
    str, typer.Option("-n", "--namespace", help="Namespace of the services.", show_default="all namespaces")
]


def status(
    namespace: Namespace = "",
    wait: Annotated[bool, typer.Option("--wait", help="Wait until everything is in sync.")] = False,
    timeout: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="The longest time to wait.")
    ] = 60.0,
    kubeconfig: answers.Kubeconfig = None,
    context: options.Context = None,
    socket: answers.Socket = None,
    plugin: plugin_options.At = None,
    plugin_cert: plugin_options.Cert = None,
    plugin_key: plugin_options.Key = None,
    plugin_ca: plugin_options.Ca = None,
    output: answers.Form = Output.TABLE,
) -> None:
    """Show whether every service is in sync, and for each that is not the first broken link with the fix.

    Exit codes: 0 everything is in sync, 1 a service is pending or broken, plugin or webhook does not run,
    or nothing answers, 2 wrong usage.
    """
    asked = answers.where(socket, plugin, plugin_cert, plugin_key, plugin_ca, kubeconfig, context)
    (clusters, services), processes = run(_status(asked, namespace, timeout if wait else 0.0))
    in_sync = is_in_sync(services.services) and not processes
    if output is Output.TABLE:
        from towpath.cli import chain_output

        show(*chain_output.fleet(clusters.clusters, services.services), *map(line, processes))
    else:
        named = {"processes": documents(processes)}
        print_document({"inSync": in_sync, **document(clusters), **document(services), **named}, output)
    if not in_sync:
        sys.stdout.flush()
        raise typer.Exit(NOT_IN_SYNC)


def line(result: Result) -> str:
    """Return what a check of a process has found, for people."""
    return f"{result.level}: {result.check}: {result.text}"


def documents(results: Iterable[Result]) -> list[dict[str, str]]:
    """Return the same for programs."""
    return [dict(zip(Result._fields, map(str, result), strict=True)) for result in results]


async def _status(asked: answers.Where, namespace: str, patience: float) -> tuple[Fleet, tuple[Result, ...]]:
    """Return the fleet, and what fails of plugin and webhook where the apiserver can be asked."""
    from towpath.polling import last_seen

    async with answering(asked) as source:
        fleet = await last_seen(
            lambda: source.fleet(namespace),
            lambda fleet: is_in_sync(fleet[1].services),
            patience=patience,
        )
        if asked.kubeconfig is None:
            return fleet, ()
        async with client_of(asked, source) as client:
            return fleet, await failing(client)


async def failing(client: Client) -> tuple[Result, ...]:
    """Return what fails of plugin and webhook, by the apiserver; nothing where the user may not ask."""
    from towpath.setup.checks.gather import gather_running
    from towpath.setup.checks.run import judge_running

    evidence = await gather_running(client)
    return judge_running(evidence) if evidence else ()


def is_in_sync(services: Sequence[ServiceSummary]) -> bool:
    """Tell whether every service is as its configuration asks for."""
    return all(Verdict(LinkState(service.state)).is_in_sync for service in services)

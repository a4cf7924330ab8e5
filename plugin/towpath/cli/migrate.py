"""``towpath migrate``: from ErieCanal or FSM as the control plane to Karmada with Towpath, and back."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from towpath.cli import answers, migrate_run
from towpath.cli import kubeconfig as options
from towpath.cli.answers import Form
from towpath.cli.drain import DryRun, Timeout
from towpath.cli.migrate_output import document, print_plan, print_steps
from towpath.cli.migrate_run import Order, Sources, scope_of
from towpath.cli.output import Output, print_document
from towpath.cli.running import run

NOT_COMPLETE = 1
"""The exit code if imports are not taken over, or not given back."""

app = typer.Typer(
    help="From ErieCanal or FSM to Karmada as the control plane, and back.", no_args_is_help=True
)

Clusters = Annotated[
    list[str] | None,
    typer.Option("--cluster", metavar="CLUSTER", help="Only this member.", show_default="all members"),
]
Only = Annotated[
    str,
    typer.Option(
        "--service", metavar="NAMESPACE/NAME", help="Only this service.", show_default="all services"
    ),
]
MemberFiles = Annotated[
    str | None,
    typer.Option(
        "--members",
        metavar="FILE",
        help="Kubeconfigs with a context of the name of each member. Others are read through Karmada.",
        show_default="as --kubeconfig",
    ),
]
OtherControlPlane = Annotated[
    str | None,
    typer.Option(
        "--control-plane",
        metavar="FILE",
        help="Kubeconfig of the cluster of the other control plane, to check that it is stopped.",
        show_default=False,
    ),
]
Stopped = Annotated[
    bool, typer.Option("--stopped", help="The other control plane is stopped, where that cannot be checked.")
]
Force = Annotated[
    bool, typer.Option("--force", help="Also where an endpoint would go that its cluster may still export.")
]


@app.command()
def plan(
    cluster: Clusters = None,
    service: Only = "",
    members: MemberFiles = None,
    control_plane: OtherControlPlane = None,
    stopped: Stopped = False,
    kubeconfig: answers.Kubeconfig = None,
    context: options.Context = None,
    output: Form = Output.TABLE,
) -> None:
    """Show the steps of a migration, what each member holds, and what taking it over would change.

    Nothing is changed. Exit codes: 0 every import is or can be taken over and every export is in Karmada too,
    1 some cannot or are not, 2 wrong usage.
    """
    sources = Sources(kubeconfig, context, members, control_plane, stopped)
    found = run(migrate_run.plan(sources, scope_of(cluster, service)))
    if output is Output.TABLE:
        print_steps(found.steps)
        print_plan(found.plans)
    else:
        print_document(document(found.steps, found.plans), output)
    if not found.is_complete:
        sys.stdout.flush()
        raise typer.Exit(NOT_COMPLETE)


@app.command()
def apply(
    cluster: Clusters = None,
    service: Only = "",
    force: Force = False,
    dry_run: DryRun = False,
    timeout: Timeout = 60.0,
    members: MemberFiles = None,
    control_plane: OtherControlPlane = None,
    stopped: Stopped = False,
    kubeconfig: answers.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Let Karmada take over the imports that the other control plane has written, and lose no endpoint.

    Imports that cannot be taken over yet stay as they are. Run it again after a change or an interruption.
    Exit codes: 0 Karmada manages every import in the scope, 1 it does not, 2 wrong usage.
    """
    sources = Sources(kubeconfig, context, members, control_plane, stopped)
    order = Order(scope_of(cluster, service), timeout, dry_run, force)
    if not run(migrate_run.apply(sources, order)):
        raise typer.Exit(NOT_COMPLETE)


@app.command()
def revert(
    cluster: Clusters = None,
    service: Only = "",
    dry_run: DryRun = False,
    timeout: Timeout = 60.0,
    members: MemberFiles = None,
    kubeconfig: answers.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Give the imports back: the members keep what they hold, and Karmada and Towpath leave it alone.

    Exit codes: 0 Karmada has no import in the scope any more, 1 it has, 2 wrong usage.
    """
    sources = Sources(kubeconfig, context, members)
    if not run(migrate_run.revert(sources, Order(scope_of(cluster, service), timeout, dry_run))):
        raise typer.Exit(NOT_COMPLETE)

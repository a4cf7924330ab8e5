"""``towpath gateway set`` and ``unset``: where other clusters reach a member."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from towpath.cli import answers
from towpath.cli import kubeconfig as options
from towpath.cli.answers import FromKarmada, Where, connected
from towpath.cli.drain import DryRun, Force, Member
from towpath.cli.running import run
from towpath.errors import TowpathError, UsageError
from towpath.text import several

app = typer.Typer(help="Where other clusters reach a member.", no_args_is_help=True)


@app.command("set")
def set_(
    cluster: Member,
    gateway: Annotated[str, typer.Argument(metavar="HOST[:PORT]", help="Its gateway. Default port: 80.")],
    dry_run: DryRun = False,
    kubeconfig: answers.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Set the gateway of a member: an IPv4 address or a DNS name that the other clusters can reach."""
    from towpath.rules.gateway import parse_gateway

    problem = parse_gateway(gateway).problem
    if problem is not None:
        raise UsageError(f"Invalid gateway {gateway!r}: {problem.text}")
    asked = answers.where(None, None, None, None, None, kubeconfig, context)
    run(_change(asked, cluster, gateway, force=True, dry=dry_run))


@app.command()
def unset(
    cluster: Member,
    force: Force = False,
    dry_run: DryRun = False,
    kubeconfig: answers.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Remove the gateway of a member, which exports nothing without it."""
    asked = answers.where(None, None, None, None, None, kubeconfig, context)
    run(_change(asked, cluster, None, force=force, dry=dry_run))


async def _change(asked: Where, cluster: str, gateway: str | None, *, force: bool, dry: bool) -> None:
    from towpath.karmada import resources
    from towpath.karmada.annotations import annotate
    from towpath.model.cluster import GATEWAY_ANNOTATION
    from towpath.review.explanation import FLOMESH_CLUSTER

    async with connected(asked) as client:
        source = FromKarmada(client)
        members, services = await source.fleet()
        member = answers.member(members.clusters, cluster)
        alone = [f"{s.namespace}/{s.name}" for s in services.services if list(s.exporters) == [cluster]]
        if alone and not force:
            raise TowpathError(
                f"{cluster} is the only cluster that exports {several(alone)}. Pass --force to remove its "
                "gateway all the same."
            )
        await annotate(
            client, resources.CLUSTERS, cluster, "", lambda _: {GATEWAY_ANNOTATION: gateway}, dry=dry
        )
    done = "gateway removed" if gateway is None else f"gateway {gateway}"
    sys.stdout.write(f"{cluster}: {done}{' (dry run)' if dry else ''}\n")
    if member.gateway_source == FLOMESH_CLUSTER:
        sys.stderr.write(
            f"warning: The flomesh Cluster {cluster} sets the gateway, so the annotation has no effect.\n"
        )

"""``towpath verify``: end-to-end calls from a pod in each importing cluster to each exporter."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from towpath.cli import answers, plugin_options
from towpath.cli import kubeconfig as options
from towpath.cli.answers import USER_AGENT, answering, connected
from towpath.cli.drain import DryRun
from towpath.cli.output import Output, print_document, show, table
from towpath.cli.running import run
from towpath.errors import UsageError
from towpath.text import one_line, several

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.table import Table

    from towpath.karmada.client import Client
    from towpath.verification.plan import Outcome, Place, Plan
    from towpath.verification.run import Order

NOT_VERIFIED = 1
"""The exit code if a call is not answered, or cannot be made."""
_POD_SECONDS = 60.0


class Wanted(NamedTuple):
    """Which calls are wanted: ``service`` is empty for all of them, and ``clusters`` for all members."""

    service: str
    clusters: tuple[str, ...]
    path: str
    members: str | None


def verify(
    service: Annotated[
        str,
        typer.Argument(metavar="[NAMESPACE/NAME]", help="The exported service.", show_default="all services"),
    ] = "",
    cluster: Annotated[
        list[str] | None,
        typer.Option(
            "--cluster", metavar="CLUSTER", help="Only calls from this member.", show_default="all members"
        ),
    ] = None,
    path: Annotated[str, typer.Option(metavar="PATH", help="The path that each call asks for.")] = "/",
    timeout: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="The longest time that a call may take.")
    ] = 5.0,
    image: Annotated[
        str,
        typer.Option(
            metavar="IMAGE",
            help="Image of the pod, with Python 3.",
            show_default="that of the data path in each member",
        ),
    ] = "",
    members: answers.MemberFiles = None,
    dry_run: DryRun = False,
    kubeconfig: answers.Kubeconfig = None,
    context: options.Context = None,
    socket: answers.Socket = None,
    plugin: plugin_options.At = None,
    plugin_cert: plugin_options.Cert = None,
    plugin_key: plugin_options.Key = None,
    plugin_ca: plugin_options.Ca = None,
    output: answers.Form = Output.TABLE,
) -> None:
    """Call each exporting cluster from a pod in each importing cluster, and say which pairs do not work.

    The pod runs in a namespace of its own, which is removed in any case. A call that cannot be made does not
    count as answered.

    Exit codes: 0 every call is answered, 1 a call fails or cannot be made, or there is none, 2 wrong usage.
    """
    from towpath.verification.judge import document, is_verified
    from towpath.verification.run import Order

    if not path.startswith("/") or not path.isprintable() or " " in path:
        raise UsageError(f"--path: Invalid value {path!r}: must begin with '/' and be a path of a URL.")
    asked = answers.where(socket, plugin, plugin_cert, plugin_key, plugin_ca, kubeconfig, context)
    wanted = Wanted(service, tuple(cluster or ()), path, members)
    if dry_run:
        _show_plan(run(_planned(asked, wanted)))
        return
    outcomes = run(_verify(asked, wanted, Order(image, timeout, _POD_SECONDS)))
    verified = is_verified(outcomes)
    if output is Output.TABLE:
        show(*_tables(outcomes))
    else:
        print_document({"verified": verified, "calls": [document(outcome) for outcome in outcomes]}, output)
    if not verified:
        sys.stdout.flush()
        raise typer.Exit(NOT_VERIFIED)


async def _planned(asked: answers.Where, wanted: Wanted) -> Plan:
    async with connected(asked) as client:
        return await _plan(asked, client, wanted)


async def _verify(asked: answers.Where, wanted: Wanted, order: Order) -> list[Outcome]:
    from towpath.karmada.member_access import MemberAccess
    from towpath.verification.run import verify as carry_out

    async with connected(asked) as client:
        plan = await _plan(asked, client, wanted)
        async with MemberAccess(client, wanted.members, USER_AGENT) as members:
            outcomes = await carry_out(members, plan, order, sys.stderr.write)
    return sorted(outcomes, key=lambda outcome: outcome.pair)


async def _plan(asked: answers.Where, client: Client, wanted: Wanted) -> Plan:
    """Plan the calls. Raises NotFound for a service or a cluster that does not exist."""
    from towpath.rpc import convert
    from towpath.verification.plan import plan

    async with answering(asked) as source:
        if wanted.service:
            explained = [await source.explain(*answers.named(wanted.service))]
            clusters = (await source.clusters()).clusters
        else:
            listed, services = await source.fleet()
            clusters, explained = listed.clusters, await source.explain_each(services.services)
    for name in wanted.clusters:
        answers.member(clusters, name)
    carried = await answers.with_data_path(client)
    places = {c.cluster_key: _place(c.name, carried, lost=bool(c.lost_since)) for c in clusters}
    return plan(map(convert.explanation_of, explained), places, wanted.path, wanted.clusters)


def _place(name: str, carried: Iterable[str], *, lost: bool) -> Place:
    from towpath.verification.plan import Place

    return Place(name, name in carried, lost)


def _show_plan(plan: Plan) -> None:
    """Show what would be done."""
    for name, calls in plan.calls.items():
        number = f"{len(calls)} call{'s' * (len(calls) != 1)}"
        show(f"{name}: a namespace and a pod would be created, and removed after {number} (dry run):")
        show(*(f"  {call.pair.service} to {call.pair.exporter}: {call.target}" for call in calls))
    if plan.left_out:
        show(*_tables(plan.left_out))
    if not plan.calls:
        show("No call would be made (dry run).")


def _tables(outcomes: Sequence[Outcome]) -> list[str | Table]:
    """Return the outcomes, those that differ in the calling cluster alone in one row, and their number."""
    from towpath.verification.judge import result

    if not outcomes:
        return ["No cluster imports a service, so there is no call."]
    alike: dict[tuple[str, ...], list[str]] = {}
    for outcome in outcomes:
        pair = outcome.pair
        about = f"{outcome.reason.value}: {outcome.text}" if outcome.reason else ""
        key = (result(outcome), pair.service, str(pair.port), pair.exporter, about)
        alike.setdefault(key, []).append(pair.importer)
    rows = table("result", "service", "port", "from", "to", "")
    for (found, name, port, exporter, about), importers in alike.items():
        rows.add_row(*map(one_line, (found, name, port, several(importers), exporter, about)))
    counts = [result(outcome) for outcome in outcomes]
    words = {"OK": "answered", "Failed": "failed", "NotTried": "not tried"}
    numbers = (f"{counts.count(found)} {word}" for found, word in words.items() if found in counts)
    return [rows, "", f"{len(counts)} call{'s' * (len(counts) != 1)}: {', '.join(numbers)}"]

"""``towpath drain`` and ``undrain``: take a cluster out of the imports of others, and back."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from towpath.cli import answers, plugin_options
from towpath.cli import kubeconfig as options
from towpath.cli.answers import answering, connected
from towpath.cli.running import run
from towpath.errors import NotFound, TowpathError, UsageError
from towpath.text import several

if TYPE_CHECKING:
    from towpath.derivation import draining
    from towpath.derivation.explanation import Explanation
    from towpath.karmada.client import Client
    from towpath.proto.v1alpha1.service_pb2 import Cluster

NOT_COMPLETE = 1
"""The exit code if a member does not report the change in time."""

Member = Annotated[str, typer.Argument(metavar="CLUSTER", help="A member cluster.")]
Only = Annotated[
    str,
    typer.Option(
        "--service", metavar="NAMESPACE/NAME", help="Only of this service.", show_default="all services"
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Also where no other cluster exports a service.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")]
Timeout = Annotated[
    float, typer.Option(min=0, metavar="SECONDS", help="The longest time to wait for the members.")
]


@dataclass(frozen=True)
class Order:
    """What is to be done: ``service`` is empty for all services."""

    cluster: str
    service: str
    drained: bool
    force: bool = False
    dry: bool = False
    timeout: float = 60.0


def drain(
    cluster: Member,
    service: Only = "",
    force: Force = False,
    dry_run: DryRun = False,
    timeout: Timeout = 60.0,
    kubeconfig: answers.Kubeconfig = None,
    context: options.Context = None,
    socket: answers.Socket = None,
    plugin: plugin_options.At = None,
    plugin_cert: plugin_options.Cert = None,
    plugin_key: plugin_options.Key = None,
    plugin_ca: plugin_options.Ca = None,
) -> None:
    """Remove the endpoints of a cluster from every import, and wait until the members report it.

    Exit codes: 0 every member reports it, 1 a member does not in time, or no other cluster exports a service
    and --force is not given, 2 wrong usage.
    """
    asked = answers.where(socket, plugin, plugin_cert, plugin_key, plugin_ca, kubeconfig, context)
    run(_carry_out(asked, Order(cluster, service, True, force, dry_run, timeout)))


def undrain(
    cluster: Member,
    service: Only = "",
    dry_run: DryRun = False,
    timeout: Timeout = 60.0,
    kubeconfig: answers.Kubeconfig = None,
    context: options.Context = None,
    socket: answers.Socket = None,
    plugin: plugin_options.At = None,
    plugin_cert: plugin_options.Cert = None,
    plugin_key: plugin_options.Key = None,
    plugin_ca: plugin_options.Ca = None,
) -> None:
    """Let a drained cluster export again, and wait until the members report it.

    Exit codes: 0 every member reports it, 1 a member does not in time, 2 wrong usage.
    """
    asked = answers.where(socket, plugin, plugin_cert, plugin_key, plugin_ca, kubeconfig, context)
    run(_carry_out(asked, Order(cluster, service, False, dry=dry_run, timeout=timeout)))


async def _carry_out(asked: answers.Where, order: Order) -> None:
    from towpath.derivation import draining

    async with connected(asked) as client, answering(asked) as source:
        member = answers.member((await source.clusters()).clusters, order.cluster)
        touched = await _touched(source, order)
        alone = draining.without_others(touched, order.cluster) if order.drained else []
        verb = "drained" if order.drained else "exported again"
        if alone and not order.force:
            raise TowpathError(
                f"{order.cluster} is the only cluster that exports {several(alone)}. Pass --force to drain "
                "it all the same."
            )
        await _annotate(client, member, order)
        if order.dry:
            names = several(map(draining.place, touched)) or "no service"
            sys.stdout.write(f"{names} would be {verb} in {order.cluster} (dry run)\n")
            return
        began = time.monotonic()
        complete = await _wait(source, touched, order)
        if not complete:
            raise typer.Exit(NOT_COMPLETE)
        number = f"{len(touched)} service{'s' * (len(touched) != 1)}"
        seconds = time.monotonic() - began
        sys.stdout.write(
            f"{number} {verb} in {order.cluster}, as every member reports after {seconds:.1f} s\n"
        )


async def _touched(source: answers.Answers, order: Order) -> list[Explanation]:
    """Return the services that change. Raises NotFound if the one that is asked for does not exist."""
    from towpath.derivation import draining
    from towpath.rpc import convert

    if order.service:
        namespace, name = answers.named(order.service)
        found = [await source.explain(namespace, name)]
    else:
        _, listed = await source.fleet()
        found = await source.explain_each(
            s for s in listed.services if order.cluster in s.exporters or not order.drained
        )
    explained = map(convert.explanation_of, found)
    if order.drained:
        return draining.exported_from(explained, order.cluster)
    return draining.drained_in(explained, order.cluster)


async def _annotate(client: Client, member: Cluster, order: Order) -> None:
    from towpath.karmada import resources
    from towpath.karmada.annotations import annotate
    from towpath.model.cluster import DRAIN_ANNOTATION
    from towpath.model.keys import Dialect

    if not order.service:
        value = "true" if order.drained else None
        await annotate(
            client, resources.CLUSTERS, order.cluster, "", lambda _: {DRAIN_ANNOTATION: value}, dry=order.dry
        )
        return
    namespace, name = answers.named(order.service)
    for dialect in Dialect:
        try:
            await annotate(
                client,
                resources.service_exports(dialect),
                name,
                namespace,
                _of_export(member, order),
                dry=order.dry,
            )
        except NotFound:
            continue
        return


def _of_export(member: Cluster, order: Order) -> Callable[[Mapping[str, str]], Mapping[str, str | None]]:
    """Return how the annotation of an export changes. Raises UsageError where it drains every cluster."""
    from towpath.derivation import draining
    from towpath.model.cluster import DRAIN_ANNOTATION
    from towpath.rules.eligibility import is_set

    def change(annotations: Mapping[str, str]) -> Mapping[str, str | None]:
        present = annotations.get(DRAIN_ANNOTATION, "")
        if order.drained:
            return {DRAIN_ANNOTATION: draining.with_cluster(present, order.cluster)}
        if is_set(present):
            raise UsageError(
                f"metadata.annotations[{DRAIN_ANNOTATION}] of ServiceExport {order.service}: 'true' drains "
                "every cluster. Remove the annotation."
            )
        return {DRAIN_ANNOTATION: draining.without_cluster(present, (member.name, member.cluster_key))}

    return change


async def _wait(source: answers.Answers, touched: Sequence[Explanation], order: Order) -> bool:
    """Wait until the members report the change, and show the progress; return whether all do in time."""
    from towpath.derivation import draining
    from towpath.polling import last_seen

    printed = ""

    async def look() -> draining.Progress:
        nonlocal printed
        seen = draining.progress(await _now(source, touched), order.cluster, drained=order.drained)
        line = _line(seen)
        if line != printed:
            sys.stderr.write(f"{line}\n")
            printed = line
        return seen

    last = await last_seen(look, lambda seen: seen.is_complete, patience=order.timeout)
    return last.is_complete


async def _now(source: answers.Answers, touched: Sequence[Explanation]) -> list[Explanation]:
    from towpath.proto.v1alpha1.inventory_pb2 import ServiceSummary
    from towpath.rpc import convert

    keys = [
        ServiceSummary(namespace=s.key.namespace, name=s.key.name, dialect=s.key.dialect) for s in touched
    ]
    return [convert.explanation_of(answer) for answer in await source.explain_each(keys)]


def _line(seen: draining.Progress) -> str:
    """Return the progress in one line."""
    total = len(seen.done) + len(seen.waiting)
    line = f"{len(seen.done)} of {total} services"
    if not seen.waiting:
        return line
    members = several({name for _, names in seen.waiting for name in names}) or "the plugin"
    return f"{line}, waiting for {members} with {several(service for service, _ in seen.waiting)}"

"""``towpath explain`` and ``towpath members``: how a service stands, and what the members are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from towpath.cli import answers, plugin_options, status
from towpath.cli import kubeconfig as options
from towpath.cli.answers import answering, client_of
from towpath.cli.output import Output, document, print_document, show
from towpath.cli.running import run
from towpath.cli.service_output import MemberRow, explanation, members_table
from towpath.errors import ApiError, NotFound
from towpath.model.keys import Dialect

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from rich.table import Table

    from towpath.karmada.client import Client
    from towpath.proto.v1alpha1.inventory_pb2 import ListClustersResponse
    from towpath.proto.v1alpha1.service_pb2 import Cluster, Explanation
    from towpath.setup.checks.evidence import Result


def explain(
    service: answers.Service,
    cluster: Annotated[
        str, typer.Option(metavar="NAME", help="Show the links of one member.", show_default="all members")
    ] = "",
    dialect: Annotated[
        Dialect | None,
        typer.Option(help="API group of the ServiceExport.", show_default="the one that exists"),
    ] = None,
    members: answers.MemberFiles = None,
    kubeconfig: answers.Kubeconfig = None,
    context: options.Context = None,
    socket: answers.Socket = None,
    plugin: plugin_options.At = None,
    plugin_cert: plugin_options.Cert = None,
    plugin_key: plugin_options.Key = None,
    plugin_ca: plugin_options.Ca = None,
    output: answers.Form = Output.TABLE,
) -> None:
    """Show the chain of a service, from its export to what each member holds, and the first broken link.

    The link names cause and fix. The answer comes from a running plugin, or else from the apiserver. With a
    kubeconfig, the exporting members are read as well, where they allow it, and the processes are checked.
    """
    named = answers.named(service)
    asked = answers.where(socket, plugin, plugin_cert, plugin_key, plugin_ca, kubeconfig, context)
    answer, processes = run(_explain(asked, *named, dialect or "", cluster, members))
    if output is Output.TABLE:
        show(*_tables(answer, cluster), *map(status.line, processes))
    else:
        print_document({**document(answer), "processes": status.documents(processes)}, output)


async def _explain(
    asked: answers.Where, namespace: str, name: str, dialect: str, cluster: str, files: str | None
) -> tuple[Explanation, tuple[Result, ...]]:
    """Return the answer, and what fails of plugin and webhook where the apiserver can be asked."""
    async with answering(asked) as source:
        answer = await source.explain(namespace, name, dialect)
        processes: tuple[Result, ...] = ()
        if asked.kubeconfig is not None:
            answer, processes = await _looked(client_of(asked, source), answer, files)
    return _chosen(answer, cluster), processes


async def _looked(
    connecting: AbstractAsyncContextManager[Client], answer: Explanation, files: str | None
) -> tuple[Explanation, tuple[Result, ...]]:
    """Add the links that the exporting members know, and return what fails of plugin and webhook."""
    from towpath.karmada.member_access import MemberAccess
    from towpath.rpc import convert
    from towpath.verification.look import look
    from towpath.verification.member_links import MemberEvidence, with_member_links

    explained = convert.explanation_of(answer)
    exporters = [exporter.cluster for exporter in explained.exporters if not exporter.lost_since]
    processes: tuple[Result, ...] = ()
    try:
        async with (
            connecting as client,
            MemberAccess(client, files, answers.USER_AGENT) as members,
        ):
            processes = await status.failing(client)
            found = await look(members, explained.key, exporters, await answers.with_data_path(client))
    except ApiError as error:  # the answer of a plugin stands without it
        found = [MemberEvidence(name, problem=str(error)) for name in exporters]
    return convert.with_chain(answer, with_member_links(explained.chain, found)), processes


def _chosen(answer: Explanation, cluster: str) -> Explanation:
    """Return the answer with the links of one member alone, if that is asked for."""
    if not cluster:
        return answer
    # A plugin of an older version sends no chain; every member is in one of these lists.
    known = {
        entry.cluster for part in (answer.exporters, answer.importers, answer.not_importing) for entry in part
    }
    if cluster not in known:
        raise NotFound(f"Karmada has no member {cluster!r}.", 404)
    return _of_cluster(answer, cluster)


def _of_cluster(answer: Explanation, cluster: str) -> Explanation:
    """Return the answer with the links of one member alone."""
    from towpath.derivation.chain import of_cluster
    from towpath.rpc import convert

    return convert.with_chain(answer, of_cluster(map(convert.link_of, answer.chain), cluster))


def _tables(answer: Explanation, cluster: str) -> list[str | Table]:
    from towpath.cli import chain_output
    from towpath.rpc import convert

    explained = convert.explanation_of(answer)
    chain = chain_output.chain(explained.chain) if explained.chain else []
    return [str(explained.key), "", *chain] if cluster else [*explanation(explained), "", *chain]


def members(
    kubeconfig: answers.Kubeconfig = None,
    context: options.Context = None,
    socket: answers.Socket = None,
    plugin: plugin_options.At = None,
    plugin_cert: plugin_options.Cert = None,
    plugin_key: plugin_options.Key = None,
    plugin_ca: plugin_options.Ca = None,
    output: answers.Form = Output.TABLE,
) -> None:
    """List the member clusters: key, state, gateway and API groups."""
    asked = answers.where(socket, plugin, plugin_cert, plugin_key, plugin_ca, kubeconfig, context)
    answer = run(_members(asked))
    if output is not Output.TABLE:
        print_document(document(answer), output)
    elif answer.clusters:
        show(members_table([_row(cluster) for cluster in answer.clusters]))
    else:
        show("Karmada has no members.")


async def _members(asked: answers.Where) -> ListClustersResponse:
    async with answering(asked) as source:
        return await source.clusters()


def _row(cluster: Cluster) -> MemberRow:
    state = f"Lost since {cluster.lost_since}" if cluster.lost_since else cluster.state
    return MemberRow(
        cluster.name,
        cluster.cluster_key,
        cluster.gateway_host,
        cluster.gateway_port,
        cluster.dialects,
        f"{state}, drained" if cluster.drained else state,
        cluster.gateway_source,
    )

"""Where answers come from: a running plugin, or, without one, straight from the Karmada apiserver.

Both give the messages of the contract, made by the same functions: a plugin keeps its inventory up to date,
and here it is read once for the answer.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, Protocol

import typer

from towpath import __version__
from towpath.cli import plugin_options
from towpath.cli.output import Output
from towpath.errors import NoEnvironment, NotFound, UsageError
from towpath.text import several

if TYPE_CHECKING:
    from towpath.karmada.client import Client
    from towpath.proto.v1alpha1.inventory_pb2 import (
        ListClustersResponse,
        ListServicesResponse,
        ServiceSummary,
    )
    from towpath.proto.v1alpha1.service_pb2 import Cluster, Explanation
    from towpath.rpc.direct import Reading

USER_AGENT = f"towpath/{__version__}"
_READ_AGAIN_SECONDS = 2.0
"""How often the apiserver is read to follow a service without a plugin."""


Socket = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        envvar="TOWPATH_SOCKET",
        help="Unix socket of the plugin. Without a plugin the Karmada apiserver is read.",
        show_default=False,
    ),
]
Form = Annotated[Output, typer.Option("--output", "-o", help="Format of the output.")]
Kubeconfig = Annotated[
    str | None,
    typer.Option(
        envvar="KUBECONFIG",
        metavar="FILE",
        help="Kubeconfig of the Karmada apiserver, which is read where no plugin answers.",
        show_default="that of the local Karmada",
    ),
]
MemberFiles = Annotated[
    str | None,
    typer.Option(
        "--members",
        metavar="FILE",
        help="Kubeconfigs with a context of the name of each member. Others are reached through Karmada.",
        show_default=False,
    ),
]
Service = Annotated[str, typer.Argument(metavar="NAMESPACE/NAME", help="The exported service.")]


class Answers(Protocol):
    """Answers about members and services, as of the moment of the question."""

    async def clusters(self) -> ListClustersResponse:
        """Return the members."""

    async def fleet(self, namespace: str = "") -> tuple[ListClustersResponse, ListServicesResponse]:
        """Return the members, and a summary of each exported service of a namespace, or of all."""

    async def explain(self, namespace: str, name: str, dialect: str = "") -> Explanation:
        """Explain a service. Raises NotFound."""

    async def explain_each(self, services: Iterable[ServiceSummary]) -> list[Explanation]:
        """Explain several services, those that still exist."""

    def follow(self, namespace: str, name: str, dialect: str = "") -> AsyncIterator[Explanation]:
        """Explain a service now and after each change. Raises NotFound, also when it is deleted."""


@dataclass(frozen=True)
class FromPlugin:
    """Answers of a running plugin."""

    reached: plugin_options.Reached

    async def clusters(self) -> ListClustersResponse:
        """Return the members."""
        from towpath.rpc import client

        return await client.list_clusters(*self.reached)

    async def fleet(self, namespace: str = "") -> tuple[ListClustersResponse, ListServicesResponse]:
        """Return the members and the services."""
        from towpath.rpc import client

        return await self.clusters(), await client.list_services(
            self.reached.target, namespace, self.reached.files
        )

    async def explain(self, namespace: str, name: str, dialect: str = "") -> Explanation:
        """Explain a service."""
        from towpath.rpc import client

        return await client.explain(self.reached.target, namespace, name, dialect, self.reached.files)

    async def explain_each(self, services: Iterable[ServiceSummary]) -> list[Explanation]:
        """Explain several services."""
        found = []
        for service in services:
            with suppress(NotFound):  # deleted in between
                found.append(await self.explain(service.namespace, service.name, service.dialect))
        return found

    async def follow(self, namespace: str, name: str, dialect: str = "") -> AsyncIterator[Explanation]:
        """Explain a service now and after each change."""
        from towpath.rpc import client

        target, files = self.reached
        async for explanation in client.watch_service(target, namespace, name, dialect, files):
            yield explanation


@dataclass
class FromKarmada:
    """Answers from what the apiserver holds."""

    client: Client
    _has_read: bool = field(default=False, init=False)

    async def _read(self) -> Reading:
        """Read the apiserver. A command that waits reads it often: what the last time has left is freed."""
        from towpath.rpc import direct
        from towpath.serving import gc_tuning

        gc_tuning.collect_on_request()
        if self._has_read:
            gc_tuning.collect()
        self._has_read = True
        return await direct.read(self.client)

    async def clusters(self) -> ListClustersResponse:
        """Return the members."""
        from towpath.rpc import direct

        return direct.list_clusters(await self._read())

    async def fleet(self, namespace: str = "") -> tuple[ListClustersResponse, ListServicesResponse]:
        """Return the members and the services."""
        from towpath.rpc import direct

        reading = await self._read()
        return direct.list_clusters(reading), direct.list_services(reading, namespace)

    async def explain(self, namespace: str, name: str, dialect: str = "") -> Explanation:
        """Explain a service."""
        from towpath.rpc import direct

        return direct.explain(await self._read(), namespace, name, dialect)

    async def explain_each(self, services: Iterable[ServiceSummary]) -> list[Explanation]:
        """Explain several services."""
        from towpath.rpc import direct

        reading, found = await self._read(), []
        for service in services:
            with suppress(NotFound):  # deleted in between
                found.append(direct.explain(reading, service.namespace, service.name, service.dialect))
        return found

    async def follow(self, namespace: str, name: str, dialect: str = "") -> AsyncIterator[Explanation]:
        """Explain a service now and after each change that is seen when the apiserver is read again."""
        last = None
        while True:
            seen = await self.explain(namespace, name, dialect)
            if seen != last:
                yield seen
            last = seen
            await asyncio.sleep(_READ_AGAIN_SECONDS)


class Where(NamedTuple):
    """Where to ask: a plugin, a Karmada apiserver, or both; the apiserver stands in for the plugin."""

    plugin: plugin_options.Reached | None
    kubeconfig: str | None
    context: str | None = None


def where(
    socket: Path | None,
    plugin: str | None,
    cert: Path | None,
    key: Path | None,
    ca: Path | None,
    kubeconfig: str | None,
    context: str | None = None,
) -> Where:
    """Return where to ask by the options. Raises NoEnvironment without any, and without a local Karmada."""
    reached = plugin_options.reached(socket, plugin, cert, key, ca, option="--socket")
    if reached is not None or kubeconfig:
        return Where(reached, kubeconfig, context)
    from towpath.local.store import default_root, load

    try:
        env = load(default_root())
    except NoEnvironment as error:
        raise NoEnvironment(
            f"{error} To ask elsewhere, pass --kubeconfig, or --socket or --plugin of a plugin."
        ) from None
    return Where(plugin_options.Reached(f"unix:{env.plugin_socket}"), str(env.karmada), context)


@asynccontextmanager
async def answering(asked: Where) -> AsyncIterator[Answers]:
    """Give the plugin's answers, or those of the apiserver where no plugin serves."""
    if asked.plugin is not None:
        if asked.kubeconfig is None or await _is_serving(asked.plugin):
            yield FromPlugin(asked.plugin)
            return
        sys.stderr.write(
            f"No plugin serves {asked.plugin.target}. The answer comes from the Karmada apiserver.\n"
        )
    async with connected(asked) as client:
        yield FromKarmada(client)


@asynccontextmanager
async def connected(asked: Where) -> AsyncIterator[Client]:
    """Connect to the Karmada apiserver. Raises UsageError if no kubeconfig is known."""
    from towpath.karmada.client import Client
    from towpath.serving import gc_tuning

    gc_tuning.collect_rarely()  # what is read is needed to the end
    gc_tuning.end_at_once()
    if asked.kubeconfig is None:
        raise UsageError("--kubeconfig: Required value. Set it, or the variable KUBECONFIG.")
    async with await Client.connect(asked.kubeconfig, context=asked.context, user_agent=USER_AGENT) as client:
        yield client


@asynccontextmanager
async def client_of(asked: Where, source: Answers) -> AsyncIterator[Client]:
    """Give the client with which the apiserver answers, or one beside the plugin that does."""
    if isinstance(source, FromKarmada):
        yield source.client
        return
    async with connected(asked) as client:
        yield client


async def with_data_path(client: Client) -> set[str]:
    """Return the members that should have the data path."""
    from towpath.karmada import resources
    from towpath.model.cluster import DATA_PATH_LABEL, DATA_PATH_NET

    selector = f"{DATA_PATH_LABEL}={DATA_PATH_NET}"
    return {obj["metadata"]["name"] for obj in await client.list(resources.CLUSTERS, selector=selector)}


async def _is_serving(plugin: plugin_options.Reached) -> bool:
    from towpath.rpc.client import is_serving

    return await is_serving(*plugin)


def member(members: Iterable[Cluster], name: str) -> Cluster:
    """Return the member of this name. Raises NotFound."""
    known = {found.name: found for found in members}
    if name not in known:
        raise NotFound(f"Karmada has no member {name!r}. Its members: {several(known) or 'none'}.", 404)
    return known[name]


def named(service: str) -> tuple[str, str]:
    """Return namespace and name of a service. Raises UsageError."""
    namespace, slash, name = service.partition("/")
    if not (namespace and slash and name) or "/" in name:
        raise UsageError(f"Invalid service {service!r}: must be NAMESPACE/NAME.")
    return namespace, name

"""The apiservers of members: by a context of a kubeconfig, or else through Karmada's cluster proxy."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any, NamedTuple, Self

from towpath.karmada import kubeconfig
from towpath.karmada.client import Client, Object

_PROXY = "/apis/cluster.karmada.io/v1alpha1/clusters/{}/proxy"


class MemberApi(NamedTuple):
    """The apiserver of one member. ``prefix`` is where ``client`` finds its paths."""

    client: Client
    prefix: str = ""

    async def json(self, method: str, path: str, **options: Any) -> Object:
        """Send one request and decode the answer. Raises ApiError."""
        return await self.client.json(method, self.prefix + path, **options)

    async def request(self, method: str, path: str, **options: Any) -> bytes:
        """Send one request. Raises ApiError."""
        return await self.client.request(method, self.prefix + path, **options)


class MemberAccess:
    """The members of a Karmada. Use it as a context manager.

    ``files`` are kubeconfigs whose contexts have the names of members; ``karmada`` leads to all others.
    """

    def __init__(self, karmada: Client, files: str | None, user_agent: str) -> None:
        self._karmada, self._files, self._user_agent = karmada, files, user_agent
        self._contexts = _contexts(files)
        self._clients: dict[str, Client] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def source(self, name: str) -> str:
        """Return what leads to a member, for people."""
        return f"context {name}" if name in self._contexts else "cluster proxy"

    async def of(self, name: str) -> MemberApi:
        """Return the apiserver of a member. Raises Unreachable."""
        if name not in self._contexts:
            return MemberApi(self._karmada, _PROXY.format(name))
        if name not in self._clients:
            client = await Client.connect(self._files, context=name, user_agent=self._user_agent)
            self._clients[name] = await self._stack.enter_async_context(client)
        return MemberApi(self._clients[name])


def _contexts(files: str | None) -> frozenset[str]:
    """Return the names of the contexts in kubeconfigs. Raises Unreachable."""
    if files is None:
        return frozenset()
    return frozenset(str(entry.get("name")) for entry in kubeconfig.read(files).document["contexts"])

"""The way to an apiserver: paths in, bytes or plain objects out.

The models and the clients of ``kubernetes.aio`` are not used: they decode twelve times slower than what the
reflector does with the raw bytes, would write back fields that they do not know, and take 12 MiB. Every call
has a deadline, so that a control plane that hangs does not hang Towpath.

A call that is refused with 401 is sent once more with credentials that were read again. ``problem`` says when
the apiserver refuses every call, which is a reason not to be ready.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlencode

from towpath.errors import ApiError, NotFound, Unreachable
from towpath.karmada.answers import ERROR, FORBIDDEN, UNAUTHORIZED, Acceptance, api_error, short
from towpath.karmada.connection import Connection, Connections
from towpath.karmada.denials import Denials
from towpath.karmada.login import Source

if TYPE_CHECKING:
    import aiohttp

Object = dict[str, Any]
"""A Kubernetes object as decoded JSON: only at the edges, never inside rules."""

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
DEADLINE = 30.0
"""Seconds that a request may take. client-go uses 32 s for the same purpose."""


@dataclass(frozen=True)
class Resource:
    """Where a kind is served: ``group`` is ``""`` for the core group."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """``group/version``, or the version alone for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the URL path of the collection, or of one object, or of its subresource."""
        prefix = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{quote(namespace)}" if self.namespaced and namespace else ""
        tail = "".join(f"/{quote(part)}" for part in (name, subresource) if part)
        return f"{prefix}{scope}/{self.plural}{tail}"

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


class Client:
    """One connection pool to one apiserver. Close it, or use it as an async context manager."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._acceptance = Acceptance()
        self.denials = Denials()

    @classmethod
    async def connect(
        cls, kubeconfig: Path | str | None, *, context: str | None = None, user_agent: str, pool: int = 100
    ) -> Client:
        """Connect with a kubeconfig, a list of them as in KUBECONFIG, or the pod's service account when None.

        Nothing is sent yet. Raises Unreachable if no file exists or there is no such context.
        """
        connections = Connections(Source(kubeconfig, context), user_agent, pool)
        await connections.open()
        return cls(connections)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._connections.close()

    @property
    def where(self) -> str:
        """The apiserver and the source of the credentials, for messages."""
        return self._connections.where

    @property
    def cluster(self) -> Object:
        """The cluster entry of a kubeconfig for this apiserver."""
        return self._connections.cluster

    @property
    def expires(self) -> float | None:
        """The Unix time at which the credentials expire, None if they do not say it."""
        return self._connections.expires

    @property
    def problem(self) -> str:
        """Why the apiserver refuses every call, or which permissions are missing; empty if all is well."""
        return self.denials.problem or self._acceptance.problem

    @asynccontextmanager
    async def _sent(
        self,
        method: str,
        path: str,
        query: Sequence[tuple[str, str]],
        body: object,
        content_type: str,
        limits: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and give its answer, which must be read within the block."""
        again = True
        while True:
            async with self._connections.lease() as connection:
                credential = self._connections.credential
                response = await self._send(connection, method, path, query, body, content_type, limits)
                if response.status != UNAUTHORIZED or not again:
                    await self._judge(response, f"{method} {path}")
                    yield response
                    return
                refusal = await self._error(response, f"{method} {path}")
            again = False
            if not await self._connections.renew(credential):
                self._acceptance.refused(refusal)
                raise refusal

    async def _send(
        self,
        connection: Connection,
        method: str,
        path: str,
        query: Sequence[tuple[str, str]],
        body: object,
        content_type: str,
        limits: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        import aiohttp

        access = connection.access
        headers = {"Accept": "application/json", "Content-Type": content_type}
        if access.authorization:
            headers["Authorization"] = access.authorization
        asked = f"{path}?{urlencode(query, quote_via=quote)}" if query else path
        try:
            return await connection.session.request(
                method,
                f"{access.server}{asked}",
                data=None if body is None else json.dumps(body),
                headers=headers,
                timeout=limits,
                proxy=access.proxy or None,
                server_hostname=access.server_name or None,
            )
        except TimeoutError:
            raise self._no_answer(method, path) from None
        except (aiohttp.ClientError, ssl.SSLError, OSError) as error:
            raise Unreachable(f"{self.where}: {short(error)}") from error

    async def _judge(self, response: aiohttp.ClientResponse, action: str) -> None:
        """Raise if an answer is an error, and note whether the apiserver accepts our credentials."""
        if response.status not in {UNAUTHORIZED, FORBIDDEN}:
            self._acceptance.accepted()
        if response.status >= ERROR:
            error = await self._error(response, action)
            if response.status in {UNAUTHORIZED, FORBIDDEN}:
                self._acceptance.refused(error)
            raise error

    async def _error(self, response: aiohttp.ClientResponse, action: str) -> ApiError:
        import aiohttp

        try:
            return api_error(response.status, await response.read(), action)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Unreachable(f"{self.where}: {short(error)}")

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: object = None,
        content_type: str = "application/json",
        deadline: float = DEADLINE,
    ) -> bytes:
        """Send one request and return the body of the answer.

        Raises NotFound, Conflict, ApiError (any other refusal) or Unreachable (no answer).
        """
        import aiohttp

        connecting = aiohttp.ClientTimeout(total=None, sock_connect=5)
        try:
            # Not by aiohttp's total: it loses a cancellation that comes at the same moment (3.14.5).
            async with (
                asyncio.timeout(deadline),
                self._sent(method, path, query, body, content_type, connecting) as response,
            ):
                return await response.read()
        except TimeoutError:
            raise self._no_answer(method, path) from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"{self.where}: {short(error)}") from error

    def _no_answer(self, method: str, path: str) -> Unreachable:
        return Unreachable(f"{self.where}: No answer to {method} {path} in time.")

    async def json(self, method: str, path: str, **options: Any) -> Object:
        """Send one request and decode the answer. Raises Unreachable if it is no JSON."""
        body = await self.request(method, path, **options)
        try:
            return cast(Object, json.loads(body))
        except ValueError as error:
            raise Unreachable(
                f"{self.where}: The answer to {method} {path} is not an apiserver's: {error}"
            ) from None

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Sequence[tuple[str, str]], silence: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a watch: yields the chunks as they arrive. ``silence`` seconds without one is an error.

        Raises what ``request`` raises, Unreachable also while reading.
        """
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=silence)
        async with self._sent("GET", path, query, None, "application/json", timeout) as response:

            async def chunks() -> AsyncIterator[bytes]:
                try:
                    async for chunk in response.content.iter_any():
                        yield chunk
                except (aiohttp.ClientError, TimeoutError, OSError) as error:
                    raise Unreachable(f"{self.where}: {short(error)}") from error

            try:
                yield chunks()
            finally:
                response.close()

    async def get(self, resource: Resource, name: str, namespace: str = "") -> Object:
        """Return one object. Raises NotFound."""
        return await self.json("GET", resource.path(namespace, name))

    async def list(self, resource: Resource, namespace: str = "", selector: str = "") -> list[Object]:
        """Return all objects, in one request: for small collections."""
        query = [("labelSelector", selector)] if selector else []
        items: list[Object] = (await self.json("GET", resource.path(namespace), query=query))["items"]
        return items

    async def apply(
        self,
        resource: Resource,
        obj: Mapping[str, Any],
        manager: str,
        *,
        force: bool = True,
        subresource: str = "",
        dry: bool = False,
    ) -> bytes:
        """Server-side apply one object as ``manager`` and return what the apiserver made of it."""
        meta = obj["metadata"]
        query = [("fieldManager", manager), ("force", "true" if force else "false")]
        query += [("dryRun", "All")] if dry else []
        path = resource.path(meta.get("namespace", ""), meta["name"], subresource)
        return await self.request("PATCH", path, query=query, body=obj, content_type=APPLY)

    async def delete(self, resource: Resource, name: str, namespace: str = "", *, uid: str = "") -> bool:
        """Delete one object in the background; False if it was gone. ``uid`` guards against a namesake."""
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            await self.request("DELETE", resource.path(namespace, name), body=body)
        except NotFound:
            return False
        return True

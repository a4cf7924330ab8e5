"""A thin, typed face over the official asyncio client: paths in, bytes or plain objects out.

``kubernetes.aio`` gives the transport: kubeconfig with every kind of login, in-cluster tokens, TLS,
connection pool. Its generated models and its dynamic client are left out on purpose: they decode
twelve times slower than what the reflector does with the raw bytes, and would write back what they
do not know. Every call has a deadline: a control plane that hangs must not hang Towpath.

The official client is imported on the first connection: it costs 0.5 s, and most commands of the
CLI never connect.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlsplit
from urllib.request import getproxies, proxy_bypass

from towpath.errors import ApiError, Conflict, Gone, NotFound, Unreachable

if TYPE_CHECKING:
    import aiohttp
    from kubernetes.aio.client.api_client import ApiClient

Object = dict[str, Any]
"""A Kubernetes object as decoded JSON: only at the edges, never inside rules."""

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
DEADLINE = 30.0
"""Seconds that a request may take. client-go uses 32 s for the same purpose."""

KEEP_ALIVE = 75.0
"""Seconds that an idle connection is kept: a write after a quiet minute needs no new handshake, which
costs as much as the write. The apiserver closes after 90 s."""

_KINDS: dict[int, type[ApiError]] = {404: NotFound, 409: Conflict, 410: Gone}
_ERROR = 400


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

    def __init__(self, api: ApiClient, connector: aiohttp.TCPConnector, where: str) -> None:
        self._api = api
        self._connector = connector
        self.where = where

    @classmethod
    async def connect(
        cls, kubeconfig: Path | None, *, context: str | None = None, user_agent: str, pool: int = 100
    ) -> Client:
        """Connect with a kubeconfig file, or with the pod's service account when None.

        Nothing is sent yet. Raises Unreachable if the file is missing or has no such context.
        """
        import aiohttp
        from kubernetes.aio import config
        from kubernetes.aio.client.api_client import ApiClient
        from kubernetes.aio.client.configuration import Configuration

        configuration = Configuration()
        configuration.connection_pool_maxsize = pool
        try:
            if kubeconfig is None:
                config.load_incluster_config(client_configuration=configuration)
            else:
                if not kubeconfig.is_file():
                    raise Unreachable(f"kubeconfig {kubeconfig}: there is no such file")
                await config.load_kube_config(
                    config_file=str(kubeconfig), context=context, client_configuration=configuration
                )
            configuration.proxy = configuration.proxy or _proxy(configuration.host)
            api = ApiClient(configuration)
        except Unreachable:
            raise
        except Exception as error:  # the loader raises whatever its parsers raise
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise Unreachable(f"kubeconfig {kubeconfig or 'of the pod'}: {reason}") from error
        api.user_agent = user_agent
        connector = aiohttp.TCPConnector(
            limit=pool, ssl=api.rest_client.ssl_context, keepalive_timeout=KEEP_ALIVE
        )
        configuration.client_session_kwargs = {"connector": connector, "trust_env": False}
        return cls(api, connector, f"{configuration.host} ({kubeconfig or 'in-cluster'})")

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()
        await self._connector.close()

    async def _send(
        self,
        method: str,
        path: str,
        query: Sequence[tuple[str, str]],
        body: object,
        content_type: str,
        limits: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        import aiohttp

        headers = {"Accept": "application/json", "Content-Type": content_type}
        try:
            verb, url, headers, _, _ = await self._api.param_serialize(
                method, path, query_params=list(query), header_params=headers, auth_settings=["BearerToken"]
            )
            answer = await self._api.call_api(
                verb, url, header_params=headers, body=body, _request_timeout=limits
            )
        except TimeoutError:
            raise self._no_answer(method, path) from None
        except (aiohttp.ClientError, ssl.SSLError, OSError) as error:
            raise Unreachable(f"{self.where}: {_short(error)}") from error
        response = cast("aiohttp.ClientResponse", answer.response)
        if response.status >= _ERROR:
            try:
                raise _api_error(response.status, await response.read(), f"{method} {path}")
            except aiohttp.ClientError as error:
                raise Unreachable(f"{self.where}: {_short(error)}") from error
        return response

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
            async with asyncio.timeout(deadline):
                response = await self._send(method, path, query, body, content_type, connecting)
                return await response.read()
        except TimeoutError:
            raise self._no_answer(method, path) from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"{self.where}: {_short(error)}") from error

    def _no_answer(self, method: str, path: str) -> Unreachable:
        return Unreachable(f"{self.where}: no answer to {method} {path} in time")

    async def json(self, method: str, path: str, **options: Any) -> Object:
        """Send one request and decode the answer. Raises Unreachable if it is no JSON."""
        body = await self.request(method, path, **options)
        try:
            return cast(Object, json.loads(body))
        except ValueError as error:
            raise Unreachable(
                f"{self.where}: no answer of an apiserver to {method} {path}: {error}"
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
        response = await self._send("GET", path, query, None, "application/json", timeout)

        async def chunks() -> AsyncIterator[bytes]:
            try:
                async for chunk in response.content.iter_any():
                    yield chunk
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise Unreachable(f"{self.where}: {_short(error)}") from error

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


def _proxy(url: str) -> str | None:
    """Return the proxy that the environment names for an address, None if there is none.

    Asked once: aiohttp would ask for it, and for a netrc file, in a thread before every request.
    """
    where = urlsplit(url)
    return None if proxy_bypass(where.netloc) else getproxies().get(where.scheme)


def _short(error: BaseException) -> str:
    """Return the cause in one line: the operating system's words where there are some."""
    cause = getattr(error, "os_error", error)
    if isinstance(cause, OSError) and cause.errno and not isinstance(cause, ssl.SSLError):
        return os.strerror(cause.errno).lower()
    return (str(cause) or type(error).__name__).splitlines()[0]


def _api_error(status: int, body: bytes, what: str) -> ApiError:
    try:
        message = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        message = body.decode(errors="replace").strip()[:200] or f"HTTP {status}"
    return _KINDS.get(status, ApiError)(f"{what}: {message}", status)

"""Towpath's client for tests that look or write without awaiting: one thread runs it for all of them.

A kubectl costs a fifth of a second of processor time, a request of this one some milliseconds. What a user's
kubectl shows or refuses is for kubectl.
"""

from __future__ import annotations

import asyncio
import atexit
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from itertools import chain
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import yaml

from tests.support.waiting import PATIENCE, until
from towpath.errors import ApiError, NotFound, Unreachable
from towpath.karmada.client import MERGE, Client, Object, Resource
from towpath.karmada.discovery import Discovery
from towpath.polling import POLL

MANAGER = "towpath-tests"
_JSON_PATCH = "application/json-patch+json"
_TOO_MANY_REQUESTS = 429
_REMOVAL_PATIENCE = 180.0
"""A namespace takes 10 seconds, on a busy machine many times that."""
T = TypeVar("T")


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """Return a loop that runs in a thread of its own until the process ends."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def end() -> None:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    atexit.register(end)
    return loop


def _done(call: Coroutine[Any, Any, T]) -> T:
    return asyncio.run_coroutine_threadsafe(call, _loop()).result()


def _answer(call: Callable[[], Awaitable[T]]) -> T:
    """Return the answer to a call.

    It is sent again after 429, as by kubectl: an apiserver that has just started serves a kind only once it
    has read all of it. And once more where a connection is lost: that of an apiserver that was started again.
    """

    async def answer() -> T:
        deadline, is_lost = time.monotonic() + PATIENCE, False
        while True:
            try:
                return await call()
            except Unreachable:
                if is_lost:
                    raise
                is_lost = True
            except ApiError as error:
                if error.status != _TOO_MANY_REQUESTS or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(POLL)

    return _done(answer())


class BlockingClient:
    """The administrator of one apiserver, connected until the process ends."""

    def __init__(self, kubeconfig: Path) -> None:
        self._client = _done(Client.connect(kubeconfig, user_agent=MANAGER))
        self._discovery = Discovery(self._client)
        _loop()  # registered before, so that the client is closed first
        atexit.register(lambda: _done(self._client.close()))

    def get(self, resource: Resource, name: str, namespace: str = "") -> Object:
        """Return an object, empty if there is none."""
        try:
            return _answer(partial(self._client.get, resource, name, namespace))
        except NotFound:
            return {}

    def list(self, resource: Resource, namespace: str = "", selector: str = "") -> list[Object]:
        """Return all objects of a kind; none if it is not served."""
        try:
            return _answer(partial(self._client.list, resource, namespace, selector))
        except NotFound:
            return []

    def names(self, resource: Resource, namespace: str = "", selector: str = "") -> set[str]:
        """Return the names of all objects of a kind."""
        return {obj["metadata"]["name"] for obj in self.list(resource, namespace, selector)}

    def apply(self, *manifests: str) -> None:
        """Apply the objects of manifests in their order."""
        self.apply_objects(*chain.from_iterable(map(yaml.safe_load_all, manifests)))

    def apply_objects(self, *objects: Mapping[str, Any]) -> None:
        """Apply objects in their order."""

        async def apply(obj: Mapping[str, Any]) -> None:
            await self._client.apply(await self._discovery.of(obj), obj, MANAGER)

        for obj in objects:
            _answer(partial(apply, obj))

    def create(self, obj: Mapping[str, Any], *, dry: bool = False) -> Object:
        """Create an object and return what is stored. Unknown fields are refused, as by kubectl."""

        async def create() -> Object:
            resource = await self._discovery.of(obj)
            query = [("fieldValidation", "Strict"), *([("dryRun", "All")] if dry else [])]
            path = resource.path(obj["metadata"].get("namespace", ""))
            return await self._client.json("POST", path, query=query, body=obj)

        return _answer(create)

    def replace(self, resource: Resource, obj: Mapping[str, Any]) -> None:
        """Replace an object that was read."""
        path = resource.path(obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        _answer(partial(self._client.request, "PUT", path, body=obj))

    def merge(
        self, resource: Resource, name: str, namespace: str = "", subresource: str = "", **fields: object
    ) -> None:
        """Merge fields into an object; None removes one."""
        path = resource.path(namespace, name, subresource)
        _answer(partial(self._client.request, "PATCH", path, body=fields, content_type=MERGE))

    def patch(self, resource: Resource, name: str, operations: Sequence[Object], namespace: str = "") -> None:
        """Change an object by the operations of a JSON patch."""
        path = resource.path(namespace, name)
        _answer(partial(self._client.request, "PATCH", path, body=operations, content_type=_JSON_PATCH))

    def annotate(
        self, resource: Resource, name: str, annotations: Mapping[str, str | None], namespace: str = ""
    ) -> None:
        """Set annotations of an object; None removes one."""
        self.merge(resource, name, namespace, metadata={"annotations": dict(annotations)})

    def label(
        self, resource: Resource, name: str, labels: Mapping[str, str | None], namespace: str = ""
    ) -> None:
        """Set labels of an object; None removes one."""
        self.merge(resource, name, namespace, metadata={"labels": dict(labels)})

    def delete(self, resource: Resource, name: str, namespace: str = "") -> None:
        """Begin to delete an object, if there is one."""
        _answer(partial(self._client.delete, resource, name, namespace))

    def delete_all(self, resource: Resource, namespace: str, selector: str = "") -> None:
        """Begin to delete all objects of a kind in a namespace; none if it is not served."""
        query = [("labelSelector", selector)] if selector else []
        with suppress(NotFound):
            _answer(partial(self._client.request, "DELETE", resource.path(namespace), query=query))

    def remove(self, resource: Resource, *names: str, namespace: str = "") -> None:
        """Delete objects, if they are there, and wait until they have gone, whatever has their names then."""
        uids = {
            name: found["metadata"]["uid"] for name in names if (found := self.get(resource, name, namespace))
        }
        for name in uids:
            self.delete(resource, name, namespace)

        async def has_gone(name: str, uid: str) -> bool:
            try:
                return bool((await self._client.get(resource, name, namespace))["metadata"]["uid"] != uid)
            except NotFound:
                return True

        for name, uid in uids.items():
            _done(until(partial(has_gone, name, uid), bool, _REMOVAL_PATIENCE))


@cache
def blocking_client(kubeconfig: Path) -> BlockingClient:
    """Return the client of a kubeconfig."""
    return BlockingClient(kubeconfig)

"""Towpath's client for tests that look or write without awaiting: one thread runs it for all of them.

A kubectl costs a fifth of a second of processor time, a request of this one some milliseconds. What a user's
kubectl shows or refuses is for kubectl.
"""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import Coroutine, Mapping
from functools import cache
from itertools import chain
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import yaml

from towpath.errors import NotFound
from towpath.karmada.client import MERGE, Client, Object, Resource
from towpath.karmada.discovery import Discovery

MANAGER = "towpath-tests"
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
            return _done(self._client.get(resource, name, namespace))
        except NotFound:
            return {}

    def list(self, resource: Resource, namespace: str = "", selector: str = "") -> list[Object]:
        """Return all objects of a kind; none if it is not served."""
        try:
            return _done(self._client.list(resource, namespace, selector))
        except NotFound:
            return []

    def names(self, resource: Resource, namespace: str = "") -> set[str]:
        """Return the names of all objects of a kind."""
        return {obj["metadata"]["name"] for obj in self.list(resource, namespace)}

    def apply(self, *manifests: str) -> None:
        """Apply the objects of manifests in their order."""
        self.apply_objects(*chain.from_iterable(map(yaml.safe_load_all, manifests)))

    def apply_objects(self, *objects: Mapping[str, Any]) -> None:
        """Apply objects in their order."""

        async def apply() -> None:
            for obj in objects:
                await self._client.apply(await self._discovery.of(obj), obj, MANAGER)

        _done(apply())

    def merge(self, resource: Resource, name: str, namespace: str = "", **fields: object) -> None:
        """Merge fields into an object; None removes one."""
        path = resource.path(namespace, name)
        _done(self._client.request("PATCH", path, body=fields, content_type=MERGE))

    def annotate(
        self, resource: Resource, name: str, annotations: Mapping[str, str | None], namespace: str = ""
    ) -> None:
        """Set annotations of an object; None removes one."""
        self.merge(resource, name, namespace, metadata={"annotations": dict(annotations)})

    def delete(self, resource: Resource, name: str, namespace: str = "") -> None:
        """Begin to delete an object, if there is one."""
        _done(self._client.delete(resource, name, namespace))


@cache
def blocking_client(kubeconfig: Path) -> BlockingClient:
    """Return the client of a kubeconfig."""
    return BlockingClient(kubeconfig)

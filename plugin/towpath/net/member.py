"""The world of the agent's own member, kept up to date by reflectors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from towpath.datapath.problem import EXPORT, IMPORT
from towpath.datapath.slices import CLUSTER_ROLE, slice_name
from towpath.datapath.statements import About, Held
from towpath.datapath.world import (
    MemberExport,
    MemberImport,
    MemberPolicy,
    ServiceName,
    Slice,
    World,
)
from towpath.errors import InvalidObject
from towpath.karmada import resources
from towpath.karmada.client import Client, Resource
from towpath.karmada.reflector import Reflector
from towpath.karmada.wire import Name
from towpath.model.keys import Dialect, ServiceKey
from towpath.model.service import Service
from towpath.net import decode
from towpath.net.allocation_store import StoredAllocation, stored
from towpath.net.metrics import Metrics

T = TypeVar("T")


class Stated(NamedTuple, Generic[T]):
    """An object, and what its status says."""

    content: T
    held: Held | None


class Member:
    """What the member's apiserver holds. ``changed`` is set by every difference."""

    def __init__(self, client: Client, allocation: ServiceName, metrics: Metrics) -> None:
        self.changed = asyncio.Event()
        self._client, self._metrics, self._name = client, metrics, allocation
        self.held: dict[About, Held] = {}
        """What statuses say: statements of the data path."""
        self._imports: dict[ServiceKey, MemberImport] = {}
        self._exports: dict[ServiceKey, MemberExport] = {}
        self._policies: dict[ServiceKey, MemberPolicy] = {}
        self._services: dict[ServiceName, Service] = {}
        self._slices: dict[ServiceName, dict[str, Slice]] = {}
        self.reflectors: list[Reflector[object]] = []
        self.imports: dict[Dialect, Reflector[Stated[MemberImport]]] = {}
        self.exports: dict[Dialect, Reflector[Stated[MemberExport]]] = {}
        for dialect in Dialect:
            keyed = partial(self._keyed, dialect)
            self.imports[dialect] = self._reflect(
                resources.service_imports(dialect),
                partial(_stated, decode.service_import, decode.unanswered),
                self._stating(IMPORT, dialect, self._imports),
            )
            self.exports[dialect] = self._reflect(
                resources.service_exports(dialect),
                partial(_stated, decode.service_export, decode.is_serving),
                self._stating(EXPORT, dialect, self._exports),
            )
            self._reflect(resources.traffic_policies(dialect), decode.traffic_policy, keyed(self._policies))
        self._reflect(resources.SERVICES, decode.service, self._take_service)
        self.slices = self._reflect(resources.ENDPOINT_SLICES, decode.endpoint_slice, self._take_slice)
        self._role = self._reflect(
            resources.CLUSTER_ROLES, decode.uid, lambda *_: None, Name("", CLUSTER_ROLE)
        )
        self.allocation = self._reflect(
            resources.CONFIG_MAPS, stored, lambda *_: None, Name(allocation.namespace, allocation.name)
        )

    @property
    def world(self) -> World:
        """The world as it is now. It changes with the next event."""
        return World(self._imports, self._exports, self._policies, self._services, self._slices)

    def published(self) -> dict[ServiceName, Slice]:
        """Return the EndpointSlices that the data path has written, by Service."""
        return {
            name: found
            for name, slices in self._slices.items()
            if (found := slices.get(slice_name(name))) is not None and found.published
        }

    def published_slice(self, name: ServiceName) -> Slice | None:
        """Return what the data path has written for a Service."""
        found = self._slices.get(name, {}).get(slice_name(name))
        return found if found is not None and found.published else None

    @property
    def installation(self) -> str:
        """The uid of the agents' ClusterRole; empty if there is none."""
        return self._role.get(CLUSTER_ROLE, "") or ""

    def stored(self) -> StoredAllocation | None:
        """Return the allocation as it is kept, None if there is none."""
        return self.allocation.get(self._name.name, self._name.namespace)

    def synced(self) -> dict[str, bool]:
        """Tell of each kind whether it has been listed."""
        return {str(reflector.resource): reflector.synced.is_set() for reflector in self.reflectors}

    async def run(self) -> None:
        """Follow the member until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for reflector in self.reflectors:
                tasks.create_task(reflector.run())

    def _reflect(
        self,
        resource: Resource,
        read: Callable[[bytes], T | None],
        take: Callable[[Name, T | None, T | None], None],
        only: Name | None = None,
    ) -> Reflector[T]:
        def reading(raw: bytes) -> T | None:
            try:
                return read(raw)
            except InvalidObject:
                self._metrics.ignored[resource.kind].inc()
                raise

        def taking(name: Name, old: T | None, new: T | None) -> None:
            take(name, old, new)
            self.changed.set()

        made = Reflector(self._client, resource, reading, taking, only=only)
        self.reflectors.append(made)  # type: ignore[arg-type] # nothing is put into it
        return made

    @staticmethod
    def _keyed(dialect: Dialect, objects: dict[ServiceKey, T]) -> Callable[[Name, T | None, T | None], None]:
        def take(name: Name, _old: T | None, new: T | None) -> None:
            _put(objects, ServiceKey(dialect, *name), new)

        return take

    def _stating(
        self, kind: str, dialect: Dialect, objects: dict[ServiceKey, T]
    ) -> Callable[[Name, Stated[T] | None, Stated[T] | None], None]:
        def take(name: Name, _old: Stated[T] | None, new: Stated[T] | None) -> None:
            key = ServiceKey(dialect, *name)
            _put(objects, key, new.content if new else None)
            _put(self.held, About(kind, key), new.held if new else None)

        return take

    def _take_service(self, name: Name, _old: Service | None, new: Service | None) -> None:
        _put(self._services, ServiceName(*name), new)

    def _take_slice(self, name: Name, old: Slice | None, new: Slice | None) -> None:
        if old is not None:
            owner = ServiceName(name.namespace, old.service)
            self._slices[owner].pop(name.name)
            if not self._slices[owner]:
                del self._slices[owner]
        if new is not None:
            self._slices.setdefault(ServiceName(name.namespace, new.service), {})[name.name] = new


def _stated(
    read: Callable[[bytes], T | None], held: Callable[[bytes], Held | None], raw: bytes
) -> Stated[T] | None:
    content = read(raw)
    return None if content is None else Stated(content, held(raw))


K = TypeVar("K")


def _put(objects: dict[K, T], key: K, new: T | None) -> None:
    if new is None:
        objects.pop(key, None)
    else:
        objects[key] = new

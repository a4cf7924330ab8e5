"""Many exported services that change all the time: made, given other ports, moved, deleted, by a seed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from tests.conftest import MEMBERS
from towpath.karmada import resources
from towpath.karmada.client import Client, Object, Resource
from towpath.model.keys import Dialect

T = TypeVar("T")
_PORTS = (80, 8080, 9090)
_MANAGER = "chaos"


@dataclass
class Ware:
    """A service as its user wants it. Without a port there is none."""

    name: str
    dialect: Dialect
    port: int = 0
    clusters: tuple[str, ...] = ()


class Churn:
    """The services of one namespace, which must exist."""

    def __init__(self, karmada: Client, namespace: str, count: int, random: Random) -> None:
        self._karmada = karmada
        self._namespace = namespace
        self._random = random
        self.wares = [Ware(f"s{number}", list(Dialect)[number % 2]) for number in range(count)]

    async def step(self) -> None:
        """Change one service."""
        ware = self._random.choice(self.wares)
        if not ware.port:
            await self.make(ware)
            return
        match self._random.choice(("ports", "placement", "delete", "service goes", "export goes")):
            case "ports":
                ware.port = self._random.choice(_PORTS)
                await self._apply(self._shuffled((self._service(ware), self._export(ware))))
            case "placement":
                ware.clusters = self._some_clusters()
                await self._apply([self._policy(ware)])
            case "delete":
                await self.delete(ware)
            case "service goes":
                await self._delete(ware, resources.SERVICES)
            case _:
                await self._delete(ware, resources.service_exports(ware.dialect))

    async def make(self, ware: Ware) -> None:
        """Make a service and its export, in either order."""
        ware.port, ware.clusters = self._random.choice(_PORTS), self._some_clusters()
        await self._apply(self._shuffled((self._policy(ware), self._service(ware), self._export(ware))))

    async def make_all(self) -> None:
        """Make all of them at once."""
        await asyncio.gather(*map(self.make, self.wares))

    async def delete(self, ware: Ware) -> None:
        """Delete a service and its export, in either order. The policy stays: it may still have to go."""
        ware.port = 0
        for resource in self._shuffled((resources.SERVICES, resources.service_exports(ware.dialect))):
            await self._karmada.delete(resource, ware.name, self._namespace)

    async def _delete(self, ware: Ware, resource: Resource) -> None:
        """Delete one of the two. What is left is made whole by the next change of ports."""
        await self._karmada.delete(resource, ware.name, self._namespace)

    def _some_clusters(self) -> tuple[str, ...]:
        return tuple(sorted(self._random.sample(MEMBERS, self._random.randint(1, len(MEMBERS)))))

    def _shuffled(self, things: Iterable[T]) -> list[T]:
        shuffled = list(things)
        self._random.shuffle(shuffled)
        return shuffled

    async def _apply(self, objects: Iterable[tuple[Resource, Object]]) -> None:
        for resource, obj in objects:
            head = {"apiVersion": resource.api_version, "kind": resource.kind}
            await self._karmada.apply(resource, {**head, **obj}, _MANAGER)

    def _meta(self, ware: Ware) -> Object:
        return {"name": ware.name, "namespace": self._namespace}

    def _service(self, ware: Ware) -> tuple[Resource, Object]:
        spec = {"ports": [{"name": "http", "port": ware.port, "protocol": "TCP"}]}
        return resources.SERVICES, {"metadata": self._meta(ware), "spec": spec}

    def _export(self, ware: Ware) -> tuple[Resource, Object]:
        path = f"/{self._namespace}/{ware.name}"
        spec = {"rules": [{"portNumber": ware.port, "path": path, "pathType": "Prefix"}]}
        return resources.service_exports(ware.dialect), {"metadata": self._meta(ware), "spec": spec}

    def _policy(self, ware: Ware) -> tuple[Resource, Object]:
        selected = (resources.SERVICES, resources.service_exports(ware.dialect))
        spec = {
            "resourceSelectors": [
                {"apiVersion": r.api_version, "kind": r.kind, "name": ware.name} for r in selected
            ],
            "placement": {"clusterAffinity": {"clusterNames": list(ware.clusters)}},
        }
        return resources.PROPAGATION_POLICIES, {"metadata": self._meta(ware), "spec": spec}

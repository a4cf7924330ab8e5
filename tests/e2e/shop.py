"""A small service to export: its manifests, and the imports that members hold."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.conftest import MEMBERS, Plane
from tests.support.waiting import until
from towpath.errors import NotFound
from towpath.karmada import resources
from towpath.karmada.client import Client, Object, Resource
from towpath.model.keys import Dialect

Endpoints = dict[int, list[str]]
"""Port number to ``cluster@ip:port/path`` of each endpoint."""


@contextmanager
def gateways(plane: Plane, network: str) -> Iterator[None]:
    """Give each member a gateway by annotation: ``<network>.1`` to the first, and so on."""

    for number, member in enumerate(MEMBERS, 1):
        annotate(plane, member, gateway=f"{network}.{number}")
    try:
        yield
    finally:
        for member in MEMBERS:
            annotate(plane, member, gateway=None)


def annotate(plane: Plane, cluster: str, **annotations: str | None) -> None:
    """Set annotations of Towpath on a Cluster; None removes one."""
    changed = {f"towpath.io/{name.replace('_', '-')}": value for name, value in annotations.items()}
    plane.client().annotate(resources.CLUSTERS, cluster, changed)


@dataclass(frozen=True)
class Shop:
    """The service ``web`` in a namespace, exported from ``clusters``."""

    plane: Plane
    namespace: str
    clusters: tuple[str, ...] = ("cluster-1", "cluster-3")
    dialect: Dialect = Dialect.FLOMESH
    claimed: str = ""
    """What its paths begin with, to claim those of another."""

    @property
    def _own(self) -> str:
        """What begins its paths: a gateway's path can be claimed once, and shops of other tests linger."""
        return self.claimed or f"/{self.namespace}"

    def service(self, port: int = 80) -> str:
        return f"""
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: {self.namespace}}}
spec: {{ports: [{{name: http, port: {port}, protocol: TCP}}]}}
"""

    def export(self, *ports: int) -> str:
        rules = ", ".join(
            f"{{portNumber: {port}, path: {self._own}/web-{port}, pathType: Prefix}}"
            for port in ports or (80,)
        )
        return f"""
apiVersion: {self.dialect.api_version}
kind: ServiceExport
metadata: {{name: web, namespace: {self.namespace}}}
spec: {{rules: [{rules}]}}
"""

    def policy(self, *, export: bool = True) -> str:
        """Return the policy that sends the Service, and the export unless that is to follow by itself."""
        too = (
            f"- {{apiVersion: {self.dialect.api_version}, kind: ServiceExport, name: web}}" if export else ""
        )
        return f"""
apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {{name: web, namespace: {self.namespace}}}
spec:
  resourceSelectors:
  - {{apiVersion: v1, kind: Service, name: web}}
  {too}
  placement: {{clusterAffinity: {{clusterNames: [{", ".join(self.clusters)}]}}}}
"""

    def apply(self, *manifests: str) -> None:
        """Apply manifests in their order."""
        self.plane.client().apply(*manifests)

    def delete(self, resource: Resource, name: str = "web") -> None:
        """Begin to delete an object of the namespace."""
        self.plane.client().delete(resource, name, self.namespace)

    def remove(self, resource: Resource, name: str = "web") -> None:
        """Delete an object of the namespace, and wait until it has gone."""
        self.plane.client().remove(resource, name, namespace=self.namespace)

    def annotate(self, **annotations: str | None) -> None:
        """Set annotations of Towpath on the export; None removes one."""
        changed = {f"towpath.io/{name.replace('_', '-')}": text for name, text in annotations.items()}
        self.plane.client().annotate(self.exports, "web", changed, self.namespace)

    @property
    def exports(self) -> Resource:
        """Where its export is served."""
        return resources.service_exports(self.dialect)

    async def status(self) -> Object:
        """Return the status of the export, empty without one."""
        export = self.plane.client().get(self.exports, "web", self.namespace)
        return dict(export.get("status", {}))

    async def conditions(self) -> dict[str, Object]:
        """Return the conditions of the export by type."""
        return {condition["type"]: condition for condition in (await self.status()).get("conditions", ())}

    def _address(self, endpoint: Object) -> str:
        cluster, target = endpoint["clusterKey"].rpartition("/")[2], endpoint["target"]
        return f"{cluster}@{target['ip']}:{target['port']}{target['path'].removeprefix(self._own)}"

    def _endpoints(self, imported: Object) -> Endpoints:
        return {
            port["port"]: [self._address(endpoint) for endpoint in port["endpoints"]]
            for port in imported["spec"]["ports"]
        }

    async def seen(self, members: dict[str, Client]) -> dict[str, Endpoints]:
        """Return what each member that imports the service imports."""

        async def read_import(client: Client) -> Object | None:
            try:
                return await client.get(resources.service_imports(self.dialect), "web", self.namespace)
            except NotFound:
                return None

        found = await asyncio.gather(*map(read_import, members.values()))
        return {
            name: self._endpoints(obj) for name, obj in zip(members, found, strict=True) if obj is not None
        }

    async def published(self, karmada: Client) -> Endpoints:
        """Return what the derived import on Karmada holds, which overrides change for some members."""
        imported = resources.service_imports(self.dialect)
        return self._endpoints(await karmada.get(imported, "web", self.namespace))

    async def complete(self, members: dict[str, Client]) -> dict[str, Endpoints]:
        """Wait until every member imports from every exporter but itself, and return what they import.

        Exporters join the views one after another, as Karmada applies the export in them.
        """

        def is_complete(seen: dict[str, Endpoints]) -> bool:
            return all(
                exporters_in(seen.get(name, {})) == {*self.clusters} - {name}
                for name in members
                if {*self.clusters} - {name}
            )

        return await until(lambda: self.seen(members), is_complete)


def exporters_in(endpoints: Endpoints) -> set[str]:
    """Return the clusters that the endpoints of one member belong to."""
    return {endpoint.partition("@")[0] for port in endpoints.values() for endpoint in port}

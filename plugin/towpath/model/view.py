"""What one cluster imports: the spec of its ServiceImport."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from towpath.model.base import Model
from towpath.model.digest import digest_of
from towpath.model.service import CLUSTER_SET_IP, AffinityConfig


class Target(Model):
    """Where requests go: FSM connects to ``ip:port`` and puts ``path`` in front of the request's path."""

    host: str
    ip: str
    port: int
    path: str


class Endpoint(Model):
    """The gateway of one exporting cluster."""

    cluster_key: str
    target: Target


class ImportPort(Model):
    """One port of an imported service and the clusters that offer it, sorted by cluster key."""

    port: int
    protocol: str
    name: str | None = None
    app_protocol: str | None = None
    endpoints: tuple[Endpoint, ...]


class View(Model):
    """What one cluster imports of one service: never empty, a cluster without ports has no view."""

    type: str = CLUSTER_SET_IP
    ports: tuple[ImportPort, ...]
    service_account_name: str | None = None
    session_affinity: str | None = None
    session_affinity_config: AffinityConfig | None = None

    @cached_property
    def digest(self) -> str:
        """What a member reports that holds an import with this view (``model.digest``)."""
        return digest_of(self._parts())

    def _parts(self) -> Iterator[object]:
        client_ip = self.session_affinity_config and self.session_affinity_config.client_ip
        yield from (self.type, self.service_account_name, self.session_affinity)
        yield client_ip.timeout_seconds if client_ip else None
        for port in self.ports:
            yield from ("port", port.port, port.protocol, port.name, port.app_protocol)
            for endpoint in port.endpoints:
                target = endpoint.target
                yield from (
                    "endpoint",
                    endpoint.cluster_key,
                    target.host,
                    target.ip,
                    target.port,
                    target.path,
                )

"""What one cluster imports: the spec of its ServiceImport."""

from __future__ import annotations

from towpath.model.base import Model
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

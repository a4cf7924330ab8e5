"""A Service as a member has it: only what an import is made of, and what two exporters can disagree on."""

from __future__ import annotations

from pydantic import Field, StrictInt

from towpath.model.base import Model

CLUSTER_IP = "ClusterIP"
EXTERNAL_NAME = "ExternalName"
HEADLESS = "Headless"
CLUSTER_SET_IP = "ClusterSetIP"
NO_AFFINITY = "None"
MAX_PORT = 65535
"""The highest port number."""


class ServicePort(Model):
    """One port of a Service. nodePort never matters to another cluster."""

    port: StrictInt
    name: str = ""
    protocol: str = "TCP"
    app_protocol: str | None = None
    target_port: StrictInt | str | None = None


class ClientIP(Model):
    """Affinity by the client's address."""

    timeout_seconds: StrictInt | None = None


class AffinityConfig(Model):
    """Settings of the session affinity."""

    client_ip: ClientIP | None = Field(default=None, alias="clientIP")


class Service(Model):
    """Spec of a Service."""

    type: str = CLUSTER_IP
    cluster_ip: str | None = Field(default=None, alias="clusterIP")
    ports: tuple[ServicePort, ...] = ()
    session_affinity: str = NO_AFFINITY
    session_affinity_config: AffinityConfig | None = None
    internal_traffic_policy: str = "Cluster"
    traffic_distribution: str = ""

    @property
    def import_type(self) -> str:
        """The type of an import of it (KEP-1645): Headless or ClusterSetIP."""
        return HEADLESS if self.cluster_ip == "None" else CLUSTER_SET_IP

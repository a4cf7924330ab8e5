"""A Service as a member has it: only what an import is made of."""

from __future__ import annotations

from towpath.model.base import Model

EXTERNAL_NAME = "ExternalName"


class ServicePort(Model):
    """One port of a Service. nodePort and targetPort never matter to another cluster."""

    port: int
    name: str = ""
    protocol: str = "TCP"
    app_protocol: str | None = None


class Service(Model):
    """Spec of a Service."""

    type: str = "ClusterIP"
    ports: tuple[ServicePort, ...] = ()

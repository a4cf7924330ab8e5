"""What the data path of a member starts from: the objects that its own apiserver holds, decoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from towpath.model.export import Export
from towpath.model.keys import ServiceKey
from towpath.model.service import Service
from towpath.model.traffic import TrafficPolicy
from towpath.model.view import View

SLICE_MANAGER = "net.towpath.io"
"""Value of ``endpointslice.kubernetes.io/managed-by`` on the EndpointSlices that the data path publishes."""
TIERS_ANNOTATION = "towpath.io/failover-tiers"
"""On a GlobalTrafficPolicy: ``CLUSTER-KEY=TIER,...``, the order in which FailOver uses clusters."""


class ServiceName(NamedTuple):
    """A Service of the member."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Balancer(StrEnum):
    """``spec.loadBalancer`` of a ServiceExport."""

    ROUND_ROBIN = "RoundRobinLoadBalancer"
    HASHING = "HashingLoadBalancer"
    LEAST_WORK = "LeastWorkLoadBalancer"


class GatewayExport(Export):
    """Spec of a ServiceExport, with the fields that only a gateway reads."""

    session_sticky: bool = False
    load_balancer: Balancer = Balancer.ROUND_ROBIN


class MemberExport(NamedTuple):
    """A ServiceExport. ``created`` is RFC 3339 in UTC, so it sorts as text."""

    export: GatewayExport
    created: str = ""
    keep_path: bool = False


class MemberImport(NamedTuple):
    """A ServiceImport."""

    view: View


class MemberPolicy(NamedTuple):
    """A GlobalTrafficPolicy. ``tiers`` is the text of its annotation."""

    policy: TrafficPolicy
    tiers: str = ""


class SlicePort(NamedTuple):
    """A port of an EndpointSlice."""

    name: str
    port: int
    protocol: str = "TCP"


class SliceEndpoint(NamedTuple):
    """An endpoint of an EndpointSlice."""

    address: str
    ready: bool = True
    serving: bool = True
    node: str = ""


class Slice(NamedTuple):
    """An EndpointSlice: ``published`` if the data path has written it."""

    service: str
    address_type: str
    ports: tuple[SlicePort, ...]
    endpoints: tuple[SliceEndpoint, ...]
    published: bool = False


class Proxy(NamedTuple):
    """The Envoy of one node, as other pods reach it."""

    address: str
    node: str = ""


PROXIES = ServiceName("towpath-system", "towpath-net")
"""The Service in front of the node proxies (deploy/datapath)."""
GATEWAY_SERVICE = "towpath-gateway"
"""The Service by which other clusters reach the proxies."""
NO_SLICES: Mapping[str, Slice] = {}


@dataclass(frozen=True)
class World:
    """All that counts in one member. ``slices`` holds the EndpointSlices of each Service by name."""

    imports: Mapping[ServiceKey, MemberImport] = field(default_factory=dict)
    exports: Mapping[ServiceKey, MemberExport] = field(default_factory=dict)
    policies: Mapping[ServiceKey, MemberPolicy] = field(default_factory=dict)
    services: Mapping[ServiceName, Service] = field(default_factory=dict)
    slices: Mapping[ServiceName, Mapping[str, Slice]] = field(default_factory=dict)

    def slices_of(self, name: ServiceName) -> tuple[Slice, ...]:
        """Return the EndpointSlices of a Service, in the order of their names."""
        return tuple(found for _, found in sorted(self.slices.get(name, NO_SLICES).items()))


@dataclass(frozen=True)
class Settings:
    """How the data path of a member is set up: the same on all its nodes.

    ``cluster`` names the member in answers and logs, ``proxies`` is the Service in front of the node
    proxies, and listeners take ports from ``first_port`` on. Only a proxy that listens on loopback itself may
    have gateways there: then all clusters are on one machine.
    """

    cluster: str
    proxies: ServiceName = PROXIES
    bind: str = "0.0.0.0"  # noqa: S104 - in the network namespace of the proxy's pod
    gateway_port: int = 8080
    first_port: int = 20000
    ports: int = 10000
    access_log: str = "/dev/stdout"

    @property
    def gateway(self) -> ServiceName:
        """The Service of the gateway port, whose EndpointSlice the agents write."""
        return ServiceName(self.proxies.namespace, GATEWAY_SERVICE)

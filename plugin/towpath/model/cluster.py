"""The inventory: members as Karmada knows them, and the flomesh Clusters that say where gateways are."""

from __future__ import annotations

from pydantic import Field

from towpath.model.base import Model
from towpath.model.keys import DEFAULT, Dialect, cluster_key

GROUP_ANNOTATION = "towpath.io/group"
GATEWAY_ANNOTATION = "towpath.io/gateway"
DEFAULT_GATEWAY_PORT = 80


class FlomeshCluster(Model):
    """Spec of a flomesh ``Cluster``: the walk-through's way to name a member's gateway.

    Its kubeconfig is not read: Towpath never talks to a member.
    """

    region: str = DEFAULT
    zone: str = DEFAULT
    group: str = DEFAULT
    gateway_host: str = ""
    gateway_port: int = Field(default=DEFAULT_GATEWAY_PORT, ge=1, le=65535)


class Member(Model):
    """A member cluster of Karmada, with all that a derivation needs of it.

    ``gateway_host`` is empty when nothing names a gateway; ``imports`` holds the dialects whose
    ServiceImport the member serves.
    """

    name: str
    region: str = DEFAULT
    zone: str = DEFAULT
    group: str = DEFAULT
    gateway_host: str = ""
    gateway_port: int = DEFAULT_GATEWAY_PORT
    imports: frozenset[Dialect] = frozenset()

    @property
    def key(self) -> str:
        """The member's cluster key."""
        return cluster_key(self.region, self.zone, self.group, self.name)

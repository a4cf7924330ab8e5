"""What one local Karmada consists of: its folder and files, its ports, its members. Pure.

An ``Environment`` is the content of ``environment.json`` plus the folder that holds it. A ``Member`` is
described once; ``programs`` and ``nodes.programs`` derive its processes from that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

KARMADA = "karmada"
PLUGIN = "towpath-plugin"
WEBHOOK = "towpath-webhook"
IMAGE_MIRROR = "image-mirror"
FORWARDER = "karmada-forwarder"
KARMADA_INIT = "karmada-init"
FIXED_PORTS = (
    "etcd",
    "etcd-peer",
    "karmada-apiserver",
    "karmada-aggregated-apiserver",
    "karmada-webhook",
    "karmada-controller-manager-metrics",
    "karmada-controller-manager-health",
    "karmada-scheduler-health",
    WEBHOOK,
    IMAGE_MIRROR,
)
SUBNET = IPv4Network("10.0.2.0/24")
"""The network of the nodes unless the user names another: the walk-through's addresses lie in it."""
MAX_MEMBERS = 20
MIN_SUBNET_SIZE = 32
NODE_APISERVER_PORT = 6443
KARMADA_NODE_PORT = 32443
"""Where a node serves Karmada's apiserver if that is a pod: the default of ``karmadactl init``."""
_FIRST_NODE = 4


class Qps(StrEnum):
    """Client limits of Karmada's controllers: as shipped, or raised out of the way."""

    DEFAULT = "default"
    HIGH = "high"


@dataclass(frozen=True)
class Member:
    """One member cluster: an apiserver and controllers on this host, or a whole cluster with a node.

    ``node`` is the address of the member's node. Without one, the member is a control plane on 127.0.0.1
    that stores into the etcd of Karmada. With one, it is a machine in namespaces of its own.
    """

    name: str
    port: int
    node: IPv4Address | None = None

    @property
    def address(self) -> str:
        """The address of its apiserver, as this host reaches it."""
        return str(self.node or "127.0.0.1")

    @property
    def url(self) -> str:
        """The https address of its apiserver."""
        return f"https://{self.address}:{self.port}"


@dataclass(frozen=True)
class Environment:
    """One local Karmada: where its files are, which port belongs to what, and its members by name.

    ``karmada_host`` is the member that runs Karmada's control plane as pods. Without one, the control plane
    is processes of this host.
    """

    root: Path
    binaries: Path
    ports: Mapping[str, int]
    members: Mapping[str, Member] = field(default_factory=dict)
    qps: Qps = Qps.DEFAULT
    subnet: IPv4Network = SUBNET
    karmada_host: str | None = None

    @property
    def pki(self) -> Path:
        """Certificates and keys."""
        return self.root / "pki"

    @property
    def logs(self) -> Path:
        """One file for each process."""
        return self.root / "logs"

    @property
    def crds(self) -> Path:
        """The multi-cluster CRDs that Karmada and every member get, as from the chart of ErieCanal or FSM."""
        return self.root / "crds"

    @property
    def images(self) -> Path:
        """The images that the nodes can pull, as an OCI image layout."""
        return self.root / "images"

    @property
    def audit_log(self) -> Path:
        """Every write that Karmada's apiserver accepted or refused, one JSON event in a line."""
        return self.logs / "audit.jsonl"

    @property
    def karmada(self) -> Path:
        """Kubeconfig of an administrator of Karmada's apiserver."""
        return self.kubeconfig(KARMADA)

    @property
    def plugin_socket(self) -> Path:
        """Where the plugin answers gRPC calls."""
        return self.root / f"{PLUGIN}.sock"

    @property
    def plugin(self) -> Path:
        """Kubeconfig of the plugin: a certificate of its own, so that its writes can be counted."""
        return self.kubeconfig(PLUGIN)

    @property
    def webhook(self) -> Path:
        """Kubeconfig of the webhook, for its CAs and its registration."""
        return self.kubeconfig(WEBHOOK)

    @property
    def has_nodes(self) -> bool:
        """Whether a member has a node."""
        return any(member.node for member in self.members.values())

    @property
    def bridged(self) -> tuple[str, ...]:
        """The processes that serve nodes at this host's address on their bridge."""
        if not self.has_nodes:
            return ()
        return (IMAGE_MIRROR,) if self.karmada_host else (IMAGE_MIRROR, FORWARDER)

    @property
    def karmada_url(self) -> str:
        """The https address of Karmada's apiserver, as this host reaches it."""
        if self.karmada_host is None:
            return self.url("karmada-apiserver")
        return f"https://{self.members[self.karmada_host].address}:{KARMADA_NODE_PORT}"

    @property
    def gateway(self) -> IPv4Address:
        """The address of this host on the bridge of the nodes, at which pods reach Karmada's apiserver."""
        return self.subnet.network_address + 1

    def kubeconfig(self, name: str) -> Path:
        """Return the kubeconfig of ``karmada`` or of a member."""
        return self.root / f"{name}.config"

    def log(self, process: str) -> Path:
        """Return the log file of a process."""
        return self.logs / f"{process}.log"

    def node_folder(self, member: str) -> Path:
        """Return the folder that a member with a node sees as ``/run/node``."""
        return self.root / "nodes" / member

    def url(self, port: str) -> str:
        """Return the https address of a named port."""
        return f"https://127.0.0.1:{self.ports[port]}"

    def free_node_address(self) -> IPv4Address:
        """Return the lowest address that no node has: 10.0.2.4 for the first, as in the walk-through."""
        taken = {member.node for member in self.members.values()}
        candidates = (self.subnet.network_address + _FIRST_NODE + n for n in range(MAX_MEMBERS))
        return next(address for address in candidates if address not in taken)

    def with_member(self, member: Member) -> Environment:
        """Return the same environment with one more member."""
        return replace(self, members={**self.members, member.name: member})

    def without_member(self, name: str) -> Environment:
        """Return the same environment without a member."""
        return replace(self, members={n: m for n, m in self.members.items() if n != name})


def node_addresses(subnet: IPv4Network) -> list[str]:
    """Return every address that a node of this subnet can get."""
    return [str(subnet.network_address + _FIRST_NODE + n) for n in range(MAX_MEMBERS)]


def host_tag(root: Path) -> str:
    """Return the short name under which everything of an environment outside its folder is found.

    Bridge, links and cgroups carry it, so ``down`` finds them with nothing but the folder's path.
    """
    return "tp" + hashlib.sha256(str(root).encode()).hexdigest()[:8]

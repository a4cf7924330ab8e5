"""What one local Karmada consists of: its folder and files, its ports, its members. Pure.

An ``Environment`` is the content of ``environment.json`` plus the folder it lies in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

KARMADA = "karmada"
PLUGIN = "towpath-plugin"
WEBHOOK = "towpath-webhook"
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
)


class Qps(StrEnum):
    """Client limits of Karmada's controllers: as shipped, or raised out of the way."""

    DEFAULT = "default"
    HIGH = "high"


@dataclass(frozen=True)
class Environment:
    """One local Karmada: where its files are, which port is whose, and who its members are.

    ``members`` maps a member's name to its apiserver's port, in the order of joining.
    """

    root: Path
    binaries: Path
    ports: Mapping[str, int]
    members: Mapping[str, int] = field(default_factory=dict)
    qps: Qps = Qps.DEFAULT

    @property
    def pki(self) -> Path:
        """Certificates and keys."""
        return self.root / "pki"

    @property
    def logs(self) -> Path:
        """One file a process."""
        return self.root / "logs"

    @property
    def crds(self) -> Path:
        """The multi-cluster CRDs that Karmada and every member get, as ErieCanal's or FSM's chart would."""
        return self.root / "crds"

    @property
    def audit_log(self) -> Path:
        """Every write that Karmada's apiserver accepted or refused, one JSON event a line."""
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

    def kubeconfig(self, name: str) -> Path:
        """Return the kubeconfig of ``karmada`` or of a member."""
        return self.root / f"{name}.config"

    def log(self, process: str) -> Path:
        """Return where a process writes what it says."""
        return self.logs / f"{process}.log"

    def url(self, port: str) -> str:
        """Return the https address of a named port."""
        return f"https://127.0.0.1:{self.ports[port]}"

    def member_url(self, member: str) -> str:
        """Return the address of a member's apiserver."""
        return f"https://127.0.0.1:{self.members[member]}"

    def with_member(self, name: str, port: int) -> Environment:
        """Return the same environment with one member more."""
        return replace(self, members={**self.members, name: port})

    def without_member(self, name: str) -> Environment:
        """Return the same environment with one member less."""
        return replace(self, members={n: p for n, p in self.members.items() if n != name})

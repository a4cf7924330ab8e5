"""The command line by which ``karmadactl init`` installs Karmada's control plane as pods of a member. Pure.

The certificates are signed by the environment's CA, so that the same kubeconfigs are valid whether Karmada
runs as pods or as processes.
"""

from __future__ import annotations

from collections.abc import Mapping

from towpath.local.command import Process, program
from towpath.local.controlplane import HIGH_LIMITS, HIGH_LIMITS_OF_MEMBERS
from towpath.local.spec import KARMADA_NODE_PORT, Environment, Qps

READY_SECONDS = 300
"""How long each pod may take. On two idle cores the apiserver takes half a minute, which its probe waits."""
_REGISTRY = "registry.k8s.io"
_NOWHERE = "http://127.0.0.1:9"
_HIGH = {
    "karmada-scheduler": HIGH_LIMITS,
    "kube-controller-manager": HIGH_LIMITS,
    "karmada-controller-manager": HIGH_LIMITS + HIGH_LIMITS_OF_MEMBERS,
}


def init(env: Environment, host: str) -> Process:
    """Return ``karmadactl init`` without the images, which ``image_flags`` names."""
    karmadactl, *flags = program(
        env,
        "karmadactl",
        kubeconfig=env.kubeconfig(host),
        karmada_apiserver_advertise_address=env.members[host].address,
        port=KARMADA_NODE_PORT,
        karmada_data=env.root / "karmada",
        karmada_pki=env.root / "karmada" / "pki",
        crds=env.root / "karmada-crds.tar.gz",
        ca_cert_file=env.pki / "ca.crt",
        ca_key_file=env.pki / "ca.key",
        etcd_storage_mode="emptyDir",
        # A throw-away database: losing its last seconds in a power cut costs nothing.
        etcd_extra_args="--unsafe-no-fsync=true",
        wait_component_ready_timeout=READY_SECONDS,
    )
    if env.qps is Qps.HIGH:
        flags += [f"--{part}-extra-args={limit}" for part, limits in _HIGH.items() for limit in limits]
    # It asks a web site for the public address of this host, which no certificate here needs.
    offline = {"HTTPS_PROXY": _NOWHERE, "NO_PROXY": f"127.0.0.1,localhost,{env.subnet}"}
    return Process((karmadactl, "init", *flags), optional=True, environment=offline)


def image_flags(names: Mapping[str, str]) -> tuple[str, ...]:
    """Return the flags that name the images; ``names`` are theirs by program."""
    return (
        f"--kube-image-tag={names['kube-apiserver'].rpartition(':')[2]}",
        f"--etcd-image={names['etcd']}",
    )


def image_names(kubernetes: str, karmada: str, etcd: str) -> dict[str, str]:
    """Return the public name of each program's image, by versions such as ``v1.35.4``."""
    parts = ("aggregated-apiserver", "controller-manager", "scheduler", "webhook")
    return {
        "etcd": f"{_REGISTRY}/etcd:{etcd.removeprefix('v')}-0",
        **{
            name: f"{_REGISTRY}/{name}:{kubernetes}" for name in ("kube-apiserver", "kube-controller-manager")
        },
        **{f"karmada-{part}": f"docker.io/karmada/karmada-{part}:{karmada}" for part in parts},
    }

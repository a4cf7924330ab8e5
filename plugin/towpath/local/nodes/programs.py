"""The command line of every process of a member with a node. Pure.

Paths under ``/run/node`` are the member's folder as its machine shows it: short enough for the sockets of a
kubelet wherever the environment lies.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

from towpath.local.command import Process, program
from towpath.local.controlplane import SERVICE_SUBNET, aggregating, apiserver, controller_manager, etcd
from towpath.local.nodes.machine import NODE_FOLDER, POD_SUBNET, READY_FILE, init
from towpath.local.spec import Environment, Member


def machine_name(member: str) -> str:
    """Return the name of the process that holds a member's namespaces."""
    return f"{member}-machine"


def node_processes(env: Environment, member: Member, node: IPv4Address) -> dict[str, Process]:
    """Return every process of a member with a node by name, in the order in which they can start."""
    machine = machine_name(member.name)
    config = env.kubeconfig(member.name)
    ready = env.node_folder(member.name) / READY_FILE
    parts = {
        "machine": Process(init(env, member, node), f"file:{ready}", creates_machine=True, awaited=True),
        "containerd": Process(("containerd", f"--config={NODE_FOLDER}/containerd.toml")),
        "etcd": etcd(env, f"{NODE_FOLDER}/etcd", port=2379, peer_port=2380, health=f"{node}:2381"),
        "apiserver": _apiserver(env, member, node),
        "controller-manager": controller_manager(
            env,
            config,
            allocate_node_cidrs="true",
            cluster_cidr=POD_SUBNET,
            service_cluster_ip_range=SERVICE_SUBNET,
        ),
        "scheduler": _scheduler(env, config),
        "kubelet": _kubelet(env, member, node),
        "kube-proxy": _kube_proxy(env, member, node),
        "coredns": Process(
            (str(env.binaries / "coredns"), "-conf", f"{NODE_FOLDER}/Corefile", "-dns.port=53"),
            f"http://{node}:8181/ready",
        ),
    }
    return {
        f"{member.name}-{part}": process if process.creates_machine else replace(process, machine=machine)
        for part, process in parts.items()
    }


def _apiserver(env: Environment, member: Member, node: IPv4Address) -> Process:
    return apiserver(
        env,
        address=str(node),
        port=member.port,
        etcd_port=2379,
        prefix="/registry",
        **aggregating(env),
        # `kubectl exec` and `logs` would otherwise look up the node's name in DNS.
        kubelet_preferred_address_types="InternalIP",
        kubelet_client_certificate=env.pki / "admin.crt",
        kubelet_client_key=env.pki / "admin.key",
    )


def _scheduler(env: Environment, config: Path) -> Process:
    return Process(
        program(
            env,
            "kube-scheduler",
            kubeconfig=config,
            authentication_kubeconfig=config,
            authorization_kubeconfig=config,
            leader_elect="false",
            secure_port=0,
        )
    )


def _kubelet(env: Environment, member: Member, node: IPv4Address) -> Process:
    argv = program(
        env,
        "kubelet",
        config=f"{NODE_FOLDER}/kubelet.yaml",
        kubeconfig=env.kubeconfig(member.name),
        root_dir=f"{NODE_FOLDER}/kubelet",
        cert_dir=f"{NODE_FOLDER}/kubelet-pki",
        hostname_override=member.name,
        node_ip=node,
    )
    return Process(argv, f"http://{node}:10248/healthz")


def _kube_proxy(env: Environment, member: Member, node: IPv4Address) -> Process:
    argv = program(
        env,
        "kube-proxy",
        kubeconfig=env.kubeconfig(member.name),
        proxy_mode="nftables",
        cluster_cidr=POD_SUBNET,
        hostname_override=member.name,
        healthz_bind_address=f"{node}:10256",
        # The table of connections belongs to the whole host: a node does not set its size.
        conntrack_max_per_core=0,
    )
    return Process(argv, f"http://{node}:10256/livez")

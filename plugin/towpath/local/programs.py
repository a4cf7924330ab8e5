"""The command line of every process of a local Karmada, computed from its ``Environment``. Pure.

One etcd serves Karmada and the members without nodes, each under a prefix of its own. Flags follow Karmada's
own ``artifacts/deploy`` and what a plain process needs in addition. Starting a single process again
(``towpath local start NAME``) needs nothing but the environment.
"""

from __future__ import annotations

import sys

from towpath.local.command import Process, program
from towpath.local.controlplane import (
    HIGH_LIMITS,
    HIGH_LIMITS_OF_MEMBERS,
    aggregating,
    apiserver_without_pods,
    controller_manager,
    etcd,
)
from towpath.local.karmadactl import init
from towpath.local.nodes.programs import node_processes
from towpath.local.spec import (
    FORWARDER,
    IMAGE_MIRROR,
    KARMADA_INIT,
    PLUGIN,
    WEBHOOK,
    Environment,
    Member,
    Qps,
)

_KARMADA_CONTROLLERS = (
    "namespace,garbagecollector,serviceaccount-token,ttl-after-finished,bootstrapsigner,tokencleaner,"
    "clusterrole-aggregation"
)
_MEMBER_CONTROLLERS = "namespace,garbagecollector,serviceaccount-token"


def processes(env: Environment) -> dict[str, Process]:
    """Return every process of the environment by name, in the order in which they can start."""
    host = env.karmada_host
    everything = {KARMADA_INIT: init(env, host)} if host else _beside_members(env)
    everything |= {name: process for name, process in _bridged(env).items() if name in env.bridged}
    for member in env.members.values():
        everything |= member_processes(env, member)
    return {**everything, PLUGIN: _plugin(env), WEBHOOK: _towpath_webhook(env)}


def _beside_members(env: Environment) -> dict[str, Process]:
    """Return Karmada's control plane as processes of this host."""
    return {
        "etcd": etcd(env, env.root / "etcd", port=env.ports["etcd"], peer_port=env.ports["etcd-peer"]),
        "karmada-apiserver": _karmada_apiserver(env),
        "karmada-kube-controller-manager": controller_manager(
            env, env.karmada, controllers=_KARMADA_CONTROLLERS
        ),
        "karmada-aggregated-apiserver": _aggregated_apiserver(env),
        "karmada-webhook": _webhook(env),
        "karmada-controller-manager": _controller_manager(env),
        "karmada-scheduler": _scheduler(env),
    }


def _bridged(env: Environment) -> dict[str, Process]:
    return {IMAGE_MIRROR: _image_mirror(env), FORWARDER: _forwarder(env)}


def member_processes(env: Environment, member: Member) -> dict[str, Process]:
    """Return every process of one member by name, in the order in which they can start."""
    if member.node is not None:
        return node_processes(env, member, member.node)
    return {
        f"{member.name}-apiserver": apiserver_without_pods(env, member.port, f"/{member.name}"),
        f"{member.name}-controller-manager": controller_manager(
            env, env.kubeconfig(member.name), controllers=_MEMBER_CONTROLLERS
        ),
    }


def _karmada_apiserver(env: Environment) -> Process:
    return apiserver_without_pods(
        env,
        env.ports["karmada-apiserver"],
        "/karmada",
        **aggregating(env),
        audit_policy_file=env.root / "audit-policy.yaml",
        audit_log_path=env.audit_log,
        audit_log_maxsize=1000,
    )


def _image_mirror(env: Environment) -> Process:
    port = env.ports[IMAGE_MIRROR]
    argv = (sys.executable, "-m", "towpath.local.nodes.mirror", str(env.images), str(env.gateway), str(port))
    return Process(argv, f"http://{env.gateway}:{port}/v2/")


def _forwarder(env: Environment) -> Process:
    address, port = str(env.gateway), env.ports["karmada-apiserver"]
    argv = (sys.executable, "-m", "towpath.local.nodes.forwarder", address, str(port))
    return Process(argv, f"https://{address}:{port}/readyz")


def _aggregated_apiserver(env: Environment) -> Process:
    argv = program(
        env,
        "karmada-aggregated-apiserver",
        kubeconfig=env.karmada,
        authentication_kubeconfig=env.karmada,
        authorization_kubeconfig=env.karmada,
        etcd_servers=f"http://127.0.0.1:{env.ports['etcd']}",
        etcd_prefix="/karmada-aggregated",
        tls_cert_file=env.pki / "tls.crt",
        tls_private_key_file=env.pki / "tls.key",
        bind_address="127.0.0.1",
        secure_port=env.ports["karmada-aggregated-apiserver"],
    )
    return Process(argv, f"{env.url('karmada-aggregated-apiserver')}/readyz")


def _webhook(env: Environment) -> Process:
    argv = program(
        env,
        "karmada-webhook",
        kubeconfig=env.karmada,
        bind_address="127.0.0.1",
        secure_port=env.ports["karmada-webhook"],
        cert_dir=env.pki,
        metrics_bind_address="0",
        health_probe_bind_address="0",
    )
    # It serves readiness on its main port (cmd/webhook/app/webhook.go), unlike its siblings.
    return Process(argv, f"{env.url('karmada-webhook')}/readyz/")


def _controller_manager(env: Environment) -> Process:
    health = f"127.0.0.1:{env.ports['karmada-controller-manager-health']}"
    argv = program(
        env,
        "karmada-controller-manager",
        kubeconfig=env.karmada,
        leader_elect="false",
        cluster_status_update_frequency="10s",
        # Without nodes there is nothing to model, and no node or pod informer is needed.
        enable_cluster_resource_modeling=str(env.has_nodes).lower(),
        metrics_bind_address=f"127.0.0.1:{env.ports['karmada-controller-manager-metrics']}",
        health_probe_bind_address=health,
    )
    if env.qps is Qps.HIGH:
        argv += HIGH_LIMITS + HIGH_LIMITS_OF_MEMBERS
    return Process(argv, f"http://{health}/healthz")


def _scheduler(env: Environment) -> Process:
    health = f"127.0.0.1:{env.ports['karmada-scheduler-health']}"
    argv = program(
        env,
        "karmada-scheduler",
        kubeconfig=env.karmada,
        leader_elect="false",
        enable_scheduler_estimator="false",
        metrics_bind_address="0",
        health_probe_bind_address=health,
    )
    if env.qps is Qps.HIGH:
        argv += HIGH_LIMITS
    return Process(argv, f"http://{health}/healthz")


def _plugin(env: Environment) -> Process:
    argv = (
        sys.executable,
        "-m",
        "towpath",
        "serve",
        "plugin",
        f"--kubeconfig={env.plugin}",
        f"--socket={env.plugin_socket}",
    )
    return Process(argv, f"unix:{env.plugin_socket}", optional=True)


def _towpath_webhook(env: Environment) -> Process:
    argv = (
        sys.executable,
        "-m",
        "towpath",
        "serve",
        "webhook",
        f"--kubeconfig={env.webhook}",
        f"--port={env.ports[WEBHOOK]}",
        f"--plugin-socket={env.plugin_socket}",
        "--drain=0",
    )
    return Process(argv, f"{env.url(WEBHOOK)}/readyz", optional=True, own_ca=True)

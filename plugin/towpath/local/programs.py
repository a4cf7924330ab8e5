"""The command line of every process of a local Karmada, computed from its ``Environment``. Pure.

One etcd serves every apiserver, each under a prefix of its own. Flags follow Karmada's own
``artifacts/deploy`` and what a plain process on 127.0.0.1 needs in addition. Starting a single process
again (``towpath local start NAME``) needs nothing but the environment.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from towpath.local.spec import KARMADA, PLUGIN, WEBHOOK, Environment, Qps


@dataclass(frozen=True)
class Process:
    """How to start one process, and what answers 200 once it works.

    ``ready`` is a URL, ``unix:PATH`` for a gRPC health check, or None where the program has no such
    endpoint. An ``optional`` process is started only when asked for. One with its ``own_ca`` cannot be
    checked with the environment's.
    """

    argv: tuple[str, ...]
    ready: str | None = None
    optional: bool = False
    own_ca: bool = False


def processes(env: Environment) -> dict[str, Process]:
    """Return every process of the environment by name, in the order in which they can start."""
    everything = {"etcd": _etcd(env), "karmada-apiserver": _karmada_apiserver(env)}
    for member, port in env.members.items():
        everything[f"{member}-apiserver"] = _apiserver(env, port, f"/{member}")
    everything["karmada-kube-controller-manager"] = _kube_controller_manager(
        env,
        KARMADA,
        "namespace,garbagecollector,serviceaccount-token,ttl-after-finished,bootstrapsigner,tokencleaner,clusterrole-aggregation",
    )
    everything |= {
        "karmada-aggregated-apiserver": _aggregated_apiserver(env),
        "karmada-webhook": _webhook(env),
        "karmada-controller-manager": _controller_manager(env),
        "karmada-scheduler": _scheduler(env),
    }
    for member in env.members:
        everything[f"{member}-controller-manager"] = _kube_controller_manager(
            env, member, "namespace,garbagecollector,serviceaccount-token"
        )
    return {**everything, PLUGIN: _plugin(env), WEBHOOK: _towpath_webhook(env)}


def member_processes(member: str) -> tuple[str, str]:
    """Return the names of the processes that are one member."""
    return f"{member}-apiserver", f"{member}-controller-manager"


def _program(env: Environment, name: str, **flags: object) -> tuple[str, ...]:
    """Return an argument list; ``a_b="c"`` becomes ``--a-b=c``."""
    return (
        str(env.binaries / name),
        *(f"--{flag.replace('_', '-')}={value}" for flag, value in flags.items()),
    )


def _etcd(env: Environment) -> Process:
    client = f"http://127.0.0.1:{env.ports['etcd']}"
    peer = f"http://127.0.0.1:{env.ports['etcd-peer']}"
    argv = _program(
        env,
        "etcd",
        data_dir=env.root / "etcd",
        listen_client_urls=client,
        advertise_client_urls=client,
        listen_peer_urls=peer,
        initial_advertise_peer_urls=peer,
        initial_cluster=f"default={peer}",
        # A throw-away database: losing its last seconds in a power cut costs nothing.
        unsafe_no_fsync="true",
    )
    return Process(argv, f"{client}/health")


def _apiserver(env: Environment, port: int, prefix: str, **more: object) -> Process:
    pki = env.pki
    argv = _program(
        env,
        "kube-apiserver",
        etcd_servers=f"http://127.0.0.1:{env.ports['etcd']}",
        etcd_prefix=prefix,
        secure_port=port,
        bind_address="127.0.0.1",
        advertise_address="127.0.0.1",
        authorization_mode="RBAC",
        allow_privileged="true",
        enable_bootstrap_token_auth="true",
        disable_admission_plugins="StorageObjectInUseProtection,ServiceAccount",
        endpoint_reconciler_type="none",
        service_account_issuer="https://kubernetes.default.svc.cluster.local",
        service_account_key_file=pki / "sa.pub",
        service_account_signing_key_file=pki / "sa.key",
        service_cluster_ip_range="10.96.0.0/16",
        client_ca_file=pki / "ca.crt",
        tls_cert_file=pki / "tls.crt",
        tls_private_key_file=pki / "tls.key",
        proxy_client_cert_file=pki / "front-proxy.crt",
        proxy_client_key_file=pki / "front-proxy.key",
        requestheader_client_ca_file=pki / "front-proxy-ca.crt",
        requestheader_allowed_names="front-proxy-client",
        requestheader_extra_headers_prefix="X-Remote-Extra-",
        requestheader_group_headers="X-Remote-Group",
        requestheader_username_headers="X-Remote-User",
        **more,
    )
    return Process(argv, f"https://127.0.0.1:{port}/readyz")


def _karmada_apiserver(env: Environment) -> Process:
    return _apiserver(
        env,
        env.ports["karmada-apiserver"],
        "/karmada",
        audit_policy_file=env.root / "audit-policy.yaml",
        audit_log_path=env.audit_log,
        audit_log_maxsize=1000,
    )


def _kube_controller_manager(env: Environment, apiserver: str, controllers: str) -> Process:
    config = env.kubeconfig(apiserver)
    argv = _program(
        env,
        "kube-controller-manager",
        kubeconfig=config,
        authentication_kubeconfig=config,
        authorization_kubeconfig=config,
        leader_elect="false",
        secure_port=0,
        controllers=controllers,
        service_account_private_key_file=env.pki / "sa.key",
        root_ca_file=env.pki / "ca.crt",
        use_service_account_credentials="true",
    )
    if env.qps is Qps.HIGH:
        # Deleting a namespace asks for every kind that is served: 6 s with the default limits.
        argv += ("--kube-api-qps=1000", "--kube-api-burst=2000")
    return Process(argv)


def _aggregated_apiserver(env: Environment) -> Process:
    argv = _program(
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
    argv = _program(
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
    argv = _program(
        env,
        "karmada-controller-manager",
        kubeconfig=env.karmada,
        leader_elect="false",
        cluster_status_update_frequency="10s",
        # Without nodes there is nothing to model, and no node or pod informer is needed.
        enable_cluster_resource_modeling="false",
        metrics_bind_address=f"127.0.0.1:{env.ports['karmada-controller-manager-metrics']}",
        health_probe_bind_address=health,
    )
    if env.qps is Qps.HIGH:
        argv += (
            "--kube-api-qps=1000",
            "--kube-api-burst=2000",
            "--cluster-api-qps=1000",
            "--cluster-api-burst=2000",
            "--rate-limiter-qps=1000",
            "--rate-limiter-bucket-size=2000",
        )
    return Process(argv, f"http://{health}/healthz")


def _scheduler(env: Environment) -> Process:
    health = f"127.0.0.1:{env.ports['karmada-scheduler-health']}"
    argv = _program(
        env,
        "karmada-scheduler",
        kubeconfig=env.karmada,
        leader_elect="false",
        enable_scheduler_estimator="false",
        metrics_bind_address="0",
        health_probe_bind_address=health,
    )
    if env.qps is Qps.HIGH:
        argv += ("--kube-api-qps=1000", "--kube-api-burst=2000")
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

"""The command lines of a Kubernetes control plane: the same for Karmada and for every member. Pure."""

from __future__ import annotations

from pathlib import Path

from towpath.local.command import Process, program
from towpath.local.spec import Environment, Qps

SERVICE_SUBNET = "10.96.0.0/16"
HIGH_LIMITS = ("--kube-api-qps=1000", "--kube-api-burst=2000")
"""Client limits of a controller that are out of the way."""
HIGH_LIMITS_OF_MEMBERS = (
    "--cluster-api-qps=1000",
    "--cluster-api-burst=2000",
    "--rate-limiter-qps=1000",
    "--rate-limiter-bucket-size=2000",
)
"""Those of Karmada's controller-manager towards members, and of its queues."""


def etcd(
    env: Environment,
    folder: Path | str,
    *,
    port: int,
    peer_port: int,
    health: str | None = None,
) -> Process:
    """Return an etcd on 127.0.0.1; ``health`` is a further HOST:PORT that tells only whether it works."""
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    argv = program(
        env,
        "etcd",
        data_dir=folder,
        listen_client_urls=client,
        advertise_client_urls=client,
        listen_peer_urls=peer,
        initial_advertise_peer_urls=peer,
        initial_cluster=f"default={peer}",
        # A throw-away database: losing its last seconds in a power cut costs nothing.
        unsafe_no_fsync="true",
        **({"listen_metrics_urls": f"http://{health}"} if health else {}),
    )
    return Process(argv, f"http://{health}/health" if health else f"{client}/health", awaited=True)


def apiserver(
    env: Environment,
    *,
    address: str,
    port: int,
    etcd_port: int,
    prefix: str,
    **more: object,
) -> Process:
    """Return an apiserver that stores below ``prefix`` in an etcd on 127.0.0.1."""
    pki = env.pki
    argv = program(
        env,
        "kube-apiserver",
        etcd_servers=f"http://127.0.0.1:{etcd_port}",
        etcd_prefix=prefix,
        secure_port=port,
        bind_address=address,
        advertise_address=address,
        authorization_mode="RBAC",
        allow_privileged="true",
        enable_bootstrap_token_auth="true",
        service_account_issuer="https://kubernetes.default.svc.cluster.local",
        service_account_key_file=pki / "sa.pub",
        service_account_signing_key_file=pki / "sa.key",
        service_cluster_ip_range=SERVICE_SUBNET,
        client_ca_file=pki / "ca.crt",
        tls_cert_file=pki / "tls.crt",
        tls_private_key_file=pki / "tls.key",
        **more,
    )
    return Process(argv, f"https://{address}:{port}/readyz", awaited=True)


def aggregating(env: Environment) -> dict[str, object]:
    """Return the flags of an apiserver that passes requests on to others, as Karmada's does.

    They cost three inotify instances. A member without pods has nobody to pass them on to.
    """
    pki = env.pki
    return {
        "proxy_client_cert_file": pki / "front-proxy.crt",
        "proxy_client_key_file": pki / "front-proxy.key",
        "requestheader_client_ca_file": pki / "front-proxy-ca.crt",
        "requestheader_allowed_names": "front-proxy-client",
        "requestheader_extra_headers_prefix": "X-Remote-Extra-",
        "requestheader_group_headers": "X-Remote-Group",
        "requestheader_username_headers": "X-Remote-User",
    }


def apiserver_without_pods(env: Environment, port: int, prefix: str, **more: object) -> Process:
    """Return an apiserver on 127.0.0.1 for which no pod runs: nothing waits for the account of a pod."""
    return apiserver(
        env,
        address="127.0.0.1",
        port=port,
        etcd_port=env.ports["etcd"],
        prefix=prefix,
        disable_admission_plugins="StorageObjectInUseProtection,ServiceAccount",
        endpoint_reconciler_type="none",
        **more,
    )


def controller_manager(env: Environment, kubeconfig: Path, **more: object) -> Process:
    """Return Kubernetes' own controllers for an apiserver: all, or those named in ``controllers``."""
    argv = program(
        env,
        "kube-controller-manager",
        kubeconfig=kubeconfig,
        authentication_kubeconfig=kubeconfig,
        authorization_kubeconfig=kubeconfig,
        leader_elect="false",
        secure_port=0,
        service_account_private_key_file=env.pki / "sa.key",
        root_ca_file=env.pki / "ca.crt",
        use_service_account_credentials="true",
        **more,
    )
    if env.qps is Qps.HIGH:
        # Deleting a namespace asks for every kind that is served: 6 s with the default limits.
        argv += HIGH_LIMITS
    return Process(argv)

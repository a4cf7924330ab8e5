"""Certificates and kubeconfigs of a local Karmada.

One CA signs the server certificate that every process serves with (they differ in ports only) and
the client certificates: an administrator for people and Karmada's parts, one each for plugin and webhook, so
that an audit log can tell who wrote what. The front proxy, through which apiservers call
aggregated ones, has a CA of its own, as Kubernetes demands. Towpath's webhook makes its own.
"""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from towpath.pki import Identity, issue, key_pem, make_authority

SERVER_NAMES = (
    "localhost",
    "kubernetes.default.svc",
    "karmada-webhook.karmada-system.svc",
    "karmada-aggregated-apiserver.karmada-system.svc",
    "127.0.0.1",
    # What a pod calls the apiserver of its cluster.
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc.cluster.local",
    "10.96.0.1",
)
ADMIN = "system:admin"
"""The administrator's name, as Karmada's own installer has it: the one that may use the clusters' proxy."""
VALIDITY = dt.timedelta(days=3650)


@dataclass(frozen=True)
class Pki:
    """All certificates of one environment."""

    authority: Identity
    admin: Identity
    plugin: Identity
    webhook: Identity


def write_pki(folder: Path, nodes: Sequence[str] = ()) -> Pki:
    """Make every certificate and key of an environment and write those that processes read.

    ``nodes`` are all addresses on the bridge: members may join later, when no certificate is issued.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = make_authority("towpath-local", validity=VALIDITY)
    front_proxy_authority = make_authority("towpath-local-front-proxy", validity=VALIDITY)
    server = issue(authority, "towpath-local", serves=(*SERVER_NAMES, *nodes), validity=VALIDITY)
    front_proxy = issue(front_proxy_authority, "front-proxy-client", validity=VALIDITY)
    service_accounts = ec.generate_private_key(ec.SECP256R1())
    public = service_accounts.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    admin = issue(authority, ADMIN, "system:masters", validity=VALIDITY)
    for name, content in {
        "admin.crt": admin.certificate_pem,
        "admin.key": admin.key_pem,
        "ca.crt": authority.certificate_pem,
        "ca.key": authority.key_pem,
        "front-proxy-ca.crt": front_proxy_authority.certificate_pem,
        "front-proxy.crt": front_proxy.certificate_pem,
        "front-proxy.key": front_proxy.key_pem,
        "tls.crt": server.certificate_pem,
        "tls.key": server.key_pem,
        "sa.key": key_pem(service_accounts),
        "sa.pub": public,
    }.items():
        (folder / name).write_bytes(content)
    return Pki(
        authority=authority,
        admin=admin,
        plugin=issue(authority, "towpath-plugin", "towpath", validity=VALIDITY),
        webhook=issue(authority, "towpath-webhook", "towpath-webhook", validity=VALIDITY),
    )


def write_kubeconfig(path: Path, *, context: str, server: str, ca: bytes, identity: Identity) -> None:
    """Write a kubeconfig with one context, readable by the owner alone."""

    def encoded(data: bytes) -> str:
        return base64.b64encode(data).decode()

    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "clusters": [
            {"name": context, "cluster": {"server": server, "certificate-authority-data": encoded(ca)}}
        ],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "users": [
            {
                "name": context,
                "user": {
                    "client-certificate-data": encoded(identity.certificate_pem),
                    "client-key-data": encoded(identity.key_pem),
                },
            }
        ],
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document, sort_keys=False))

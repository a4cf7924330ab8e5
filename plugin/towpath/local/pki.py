"""Certificates and kubeconfigs of a local Karmada.

One CA signs the server certificate that every process serves with (they differ in ports only) and
the client certificates: an administrator for people and Karmada's parts, one for the plugin, so
that an audit log can tell who wrote what. The front proxy, through which apiservers call
aggregated ones, has a CA of its own, as Kubernetes demands. Keys are P-256: made in a millisecond.
"""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SERVER_NAMES = (
    "localhost",
    "kubernetes.default.svc",
    "karmada-webhook.karmada-system.svc",
    "karmada-aggregated-apiserver.karmada-system.svc",
)
ADMIN = "system:admin"
"""The administrator's name, as Karmada's own installer has it: the one that may use the clusters' proxy."""
VALIDITY = dt.timedelta(days=3650)


@dataclass(frozen=True)
class Identity:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key as PEM, in the form that Go's TLS reads."""
        return _key_pem(self.key)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def _name(common_name: str, organization: str | None = None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(attributes)


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + VALIDITY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def make_authority(common_name: str) -> Identity:
    """Make a self-signed certificate authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(common_name)
    certificate = (
        _builder(subject, key)
        .issuer_name(subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Identity(certificate, key)


def issue(
    authority: Identity, common_name: str, organization: str | None = None, *, server: bool = False
) -> Identity:
    """Issue a client certificate, or the server certificate for 127.0.0.1 and ``SERVER_NAMES``."""
    key = ec.generate_private_key(ec.SECP256R1())
    usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        _builder(_name(common_name, organization), key)
        .issuer_name(authority.certificate.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False
        )
    )
    if server:
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in SERVER_NAMES]
        names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Identity(builder.sign(authority.key, hashes.SHA256()), key)


@dataclass(frozen=True)
class Pki:
    """All certificates of one environment."""

    authority: Identity
    admin: Identity
    plugin: Identity


def write_pki(folder: Path) -> Pki:
    """Make every certificate and key of an environment and write those that processes read."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = make_authority("towpath-local")
    front_proxy_authority = make_authority("towpath-local-front-proxy")
    server = issue(authority, "towpath-local", server=True)
    front_proxy = issue(front_proxy_authority, "front-proxy-client")
    service_accounts = ec.generate_private_key(ec.SECP256R1())
    public = service_accounts.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for name, content in {
        "ca.crt": authority.certificate_pem,
        "front-proxy-ca.crt": front_proxy_authority.certificate_pem,
        "front-proxy.crt": front_proxy.certificate_pem,
        "front-proxy.key": front_proxy.key_pem,
        "tls.crt": server.certificate_pem,
        "tls.key": server.key_pem,
        "sa.key": _key_pem(service_accounts),
        "sa.pub": public,
    }.items():
        (folder / name).write_bytes(content)
    return Pki(
        authority=authority,
        admin=issue(authority, ADMIN, "system:masters"),
        plugin=issue(authority, "towpath-plugin", "towpath"),
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

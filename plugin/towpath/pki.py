"""X.509: creating certificate authorities, and issuing certificates with them.

The local Karmada and the webhook use it. Keys are P-256, which are generated in a millisecond. Certificates
are valid from an hour ago, so that a clock that is slightly behind accepts them.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from towpath.errors import InvalidObject

_BACKDATED = dt.timedelta(hours=1)
_BACKDATED_SHARE = 12
"""A short validity begins at most one part of this many ago."""


@dataclass(frozen=True)
class Identity:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def read(cls, certificate: bytes, key: bytes) -> Self:
        """Parse PEM. Raises InvalidObject if it is malformed, or the key is not that of the certificate."""
        try:
            parsed, private = x509.load_pem_x509_certificate(certificate), load_key(key)
        except (ValueError, TypeError) as error:
            raise InvalidObject(f"certificate, key: One is not PEM: {error}. Give PEM.") from None
        if parsed.public_key() != private.public_key():
            raise InvalidObject("key: It does not belong to the certificate. Give its own key.")
        return cls(parsed, private)

    @property
    def certificate_pem(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key as PEM, in a format that Go accepts."""
        return key_pem(self.key)


def load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Parse an elliptic curve key. Raises ValueError if it is something else."""
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not an elliptic curve key")
    return key


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a private key as PEM, in a format that Go accepts."""
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


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, now: dt.datetime, validity: dt.timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - min(_BACKDATED, validity / _BACKDATED_SHARE))
        .not_valid_after(now + validity)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def make_authority(common_name: str, *, validity: dt.timedelta, now: dt.datetime | None = None) -> Identity:
    """Create a self-signed certificate authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(common_name)
    certificate = (
        _builder(subject, key, now or dt.datetime.now(dt.UTC), validity)
        .issuer_name(subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Identity(certificate, key)


def issue(
    authority: Identity,
    common_name: str,
    organization: str | None = None,
    *,
    validity: dt.timedelta,
    serves: Sequence[str] = (),
    now: dt.datetime | None = None,
) -> Identity:
    """Issue a client certificate, or a server certificate for the DNS names and addresses in ``serves``."""
    key = ec.generate_private_key(ec.SECP256R1())
    usage = ExtendedKeyUsageOID.SERVER_AUTH if serves else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        _builder(_name(common_name, organization), key, now or dt.datetime.now(dt.UTC), validity)
        .issuer_name(authority.certificate.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False
        )
    )
    if serves:
        names = x509.SubjectAlternativeName(list(map(_general_name, serves)))
        builder = builder.add_extension(names, critical=False)
    return Identity(builder.sign(authority.key, hashes.SHA256()), key)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)

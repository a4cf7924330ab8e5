"""The TLS context of the listener, whose certificate can be replaced at any time.

A connection keeps the certificate of its handshake, the next one gets the new certificate. A pair is first
loaded into a context of its own: one that does not match changes nothing."""

from __future__ import annotations

import ssl
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import NoReturn

from towpath.errors import UsageError


class TlsVersion(StrEnum):
    """The lowest version of TLS that is accepted."""

    V1_2 = "1.2"
    V1_3 = "1.3"


_VERSIONS = {TlsVersion.V1_2: ssl.TLSVersion.TLSv1_2, TlsVersion.V1_3: ssl.TLSVersion.TLSv1_3}


class ServerTls:
    """``context`` is for the listener. With ``client_ca``, a file of CAs, clients are asked for a
    certificate.

    A certificate must be signed by these CAs. A client without one is accepted all the same, because
    Karmada's interpreter has none; the server decides what to answer. Raises UsageError if the file cannot be
    used."""

    def __init__(self, lowest: TlsVersion = TlsVersion.V1_3, client_ca: Path | None = None) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.asks_for_certificates = client_ca is not None
        if client_ca is not None:
            try:
                self.context.load_verify_locations(client_ca)
            except OSError as error:  # ssl.SSLError is one
                reason = "The file has no certificate" if isinstance(error, ssl.SSLError) else error.strerror
                raise UsageError(f"{client_ca}: {reason}.") from None
            self.context.verify_mode = ssl.CERT_OPTIONAL
        self.context.minimum_version = _VERSIONS[lowest]
        self.context.set_alpn_protocols(["http/1.1"])

    def load(self, certificate: bytes, key: bytes, description: str) -> None:
        """Serve with this certificate, including its chain, and this key from now on, both PEM.

        Raises UsageError with the ``description`` if they cannot be used; the previous pair stays then.
        """
        with tempfile.TemporaryDirectory(prefix="towpath-") as folder:  # OpenSSL takes files only
            paths = Path(folder, "tls.crt"), Path(folder, "tls.key")
            for path, content in zip(paths, (certificate, key), strict=True):
                path.touch(mode=0o600)
                path.write_bytes(content)
            for context in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self.context):
                _load(context, *paths, description)


def _load(context: ssl.SSLContext, certificate: Path, key: Path, description: str) -> None:
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        is_mismatch = error.reason == "KEY_VALUES_MISMATCH"
        problem = (
            "The key does not belong to the certificate. Give its own key."
            if is_mismatch
            else f"One of them is not PEM ({error.reason}). Give PEM files."
        )
        raise UsageError(f"{description}: {problem}") from None
    except _Encrypted:
        raise UsageError(f"{description}: The key is encrypted. Give a key without a password.") from None


class _Encrypted(Exception):
    """OpenSSL asks for a password; without this it would ask on the terminal."""


def _no_password() -> NoReturn:
    raise _Encrypted

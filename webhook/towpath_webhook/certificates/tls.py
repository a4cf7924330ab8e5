"""The TLS context that the server listens with, and the certificate in it, which can be changed at any time.

A connection keeps what it began with, the next one gets the new certificate. A pair is tried out in a
context of its own first: one that does not fit changes nothing.
"""

from __future__ import annotations

import ssl
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import NoReturn

from towpath.errors import UsageError


class TlsVersion(StrEnum):
    """The lowest version of TLS that is spoken."""

    V1_2 = "1.2"
    V1_3 = "1.3"


_VERSIONS = {TlsVersion.V1_2: ssl.TLSVersion.TLSv1_2, TlsVersion.V1_3: ssl.TLSVersion.TLSv1_3}


class Context:
    """``ssl`` is for the listener. With ``clients``, a file of CAs, clients are asked for a certificate.

    One that they show must be by these CAs. Who shows none is let in all the same, as Karmada's interpreter
    cannot (facts 3): ``server`` knows what to answer him. Raises UsageError if the file cannot be used.
    """

    def __init__(self, lowest: TlsVersion = TlsVersion.V1_3, clients: Path | None = None) -> None:
        self.ssl = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.asks = clients is not None
        if clients is not None:
            try:
                self.ssl.load_verify_locations(clients)
            except OSError as error:  # ssl.SSLError is one
                reason = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
                raise UsageError(f"{clients}: {reason}") from None
            self.ssl.verify_mode = ssl.CERT_OPTIONAL
        self.ssl.minimum_version = _VERSIONS[lowest]
        self.ssl.set_alpn_protocols(["http/1.1"])

    def present(self, certificate: bytes, key: bytes, told: str) -> None:
        """Serve with a certificate, chain included, and its key from now on, both PEM.

        Raises UsageError if they cannot be used, calling them as ``told``; what was there stays then.
        """
        with tempfile.TemporaryDirectory(prefix="towpath-") as folder:  # OpenSSL takes files only
            paths = Path(folder, "tls.crt"), Path(folder, "tls.key")
            for path, content in zip(paths, (certificate, key), strict=True):
                path.touch(mode=0o600)
                path.write_bytes(content)
            for context in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self.ssl):
                _load(context, *paths, told)


def _load(context: ssl.SSLContext, certificate: Path, key: Path, told: str) -> None:
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        mismatch = error.reason == "KEY_VALUES_MISMATCH"
        why = "it is not this certificate's" if mismatch else f"one of them is not PEM ({error.reason})"
        raise UsageError(f"{told}: {why}") from None
    except _Encrypted:
        raise UsageError(f"{told}: the key is encrypted, give one without a password") from None


class _Encrypted(Exception):
    """OpenSSL asks for a password; without this answer it would ask on the terminal."""


def _no_password() -> NoReturn:
    raise _Encrypted

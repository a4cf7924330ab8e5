"""What it takes to reach one apiserver: its address, the CA that it is known by, and our credentials."""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

_BEARER = "bearer"


@dataclass(frozen=True)
class Access:
    """An apiserver and our credentials there. Certificates and keys are PEM, and empty if there are none."""

    server: str
    authorization: str = ""
    """The header of that name."""
    ca: bytes = b""
    certificate: bytes = b""
    key: bytes = b""
    is_verified: bool = True
    """Whether the certificate of the apiserver is."""
    server_name: str = ""
    """The name in that certificate, if it is not the host of ``server``."""
    proxy: str = ""

    @property
    def token(self) -> str:
        """The bearer token, empty if there is none."""
        scheme, _, token = self.authorization.partition(" ")
        return token if scheme.lower() == _BEARER else ""

    @property
    def channel(self) -> tuple[object, ...]:
        """Everything that needs connections of its own: all but the token."""
        pems = (self.ca, self.certificate, self.key)
        return (self.server, self.is_verified, self.server_name, self.proxy, *pems)

    def tls(self) -> ssl.SSLContext:
        """Return how connections are secured. Raises ssl.SSLError for certificates that do not fit."""
        # Text around the certificates may be anything.
        context = ssl.create_default_context(cadata=self.ca.decode("ascii", "ignore") or None)
        if not self.is_verified:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate:
            with tempfile.NamedTemporaryFile(prefix="towpath-") as file:  # OpenSSL reads nothing but files
                file.write(b"\n".join((self.certificate, self.key)))
                file.flush()
                context.load_cert_chain(Path(file.name))
        return context

"""TLS of the page's port: certificate, key and CA of the clients are read again when their files change."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple

from towpath.errors import UsageError

Version = tuple[tuple[int, int, int], ...]


class TlsFiles(NamedTuple):
    """PEM files. With ``client_ca``, clients need a certificate of it."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    @property
    def version(self) -> Version:
        """A value that changes when a file is written or replaced. Raises UsageError if one is missing."""
        paths = filter(None, self)
        try:
            found = [path.stat() for path in paths]
        except OSError as error:
            raise UsageError(f"{error.filename}: {error.strerror}.") from None
        return tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in found)

    def context(self) -> ssl.SSLContext:
        """Return a context with what the files hold now. Raises UsageError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            # Without a password: one that asks at the terminal would hang.
            context.load_cert_chain(self.certificate, self.key, password="")
        except (OSError, ValueError):
            raise UsageError(
                f"{self.certificate} and {self.key}: The files cannot be used. Give a certificate in PEM and "
                f"its key, without a password."
            ) from None
        if self.client_ca is not None:
            try:
                context.load_verify_locations(self.client_ca)
            except OSError as error:
                reason = "The file has no certificate" if isinstance(error, ssl.SSLError) else error.strerror
                raise UsageError(f"{self.client_ca}: {reason}.") from None
            context.verify_mode = ssl.CERT_REQUIRED
        return context

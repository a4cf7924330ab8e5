"""Certificates for mutual TLS, read anew when they change: whoever renews them only has to write the files.

A pair that does not fit together is one that is just being replaced: what was there before is served until
both files are new. gRPC asks at every handshake, and what it can't be given it goes on without.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, cast

import grpc
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from towpath.errors import UsageError

log = structlog.get_logger()
_Version = tuple[tuple[int, int, int], ...]


class Files(NamedTuple):
    """PEM files: a certificate with its chain, its key, and the CA that the other side's is signed by."""

    certificate: Path
    key: Path
    ca: Path


class _Content(NamedTuple):
    certificate: bytes
    key: bytes
    ca: bytes


def for_server(files: Files) -> grpc.ServerCredentials:
    """Return credentials by which only clients with a certificate of the CA are served.

    Raises UsageError, naming the file, if they cannot be read now.
    """
    reloading = _Reloading(files)
    # The stubs do not know that None means "as before".
    fetch = cast("Callable[[], grpc.ServerCertificateConfiguration]", reloading.fetch)
    return grpc.dynamic_ssl_server_credentials(reloading.first, fetch, require_client_authentication=True)


def for_client(files: Files) -> grpc.ChannelCredentials:
    """Return a client's credentials, as the files are now. Raises UsageError, naming the file."""
    found = _read(files)
    return grpc.ssl_channel_credentials(found.ca, found.key, found.certificate)


class _Reloading:
    """What the files hold, as gRPC wants it, from the threads in which it asks."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._seen = _version(files)
        self.first = _configuration(_read(files))

    def fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Return what is new, None if nothing is."""
        with self._lock:
            try:
                version = _version(self._files)
                if version == self._seen:
                    return None
                made = _configuration(_read(self._files))
            except UsageError as error:
                log.warning("certificates not taken", reason=str(error))
                return None
            self._seen = version
            log.info("certificates taken", certificate=str(self._files.certificate))
            return made


def _configuration(found: _Content) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(found.key, found.certificate)], found.ca)


def _version(files: Files) -> _Version:
    """Return what changes whenever a file is written or replaced."""
    try:
        found = [path.stat() for path in files]
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}") from None
    return tuple((one.st_ino, one.st_size, one.st_mtime_ns) for one in found)


def _read(files: Files) -> _Content:
    """Return what the files hold. Raises UsageError if that is no pair, or no CA."""
    try:
        found = _Content(*(path.read_bytes() for path in files))
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}") from None
    mine = _certificate(found.certificate, files.certificate)
    _certificate(found.ca, files.ca)
    try:
        key = serialization.load_pem_private_key(found.key, None)
    except (ValueError, TypeError):
        raise UsageError(f"{files.key}: it holds no private key as PEM, or one with a password") from None
    if mine.public_key() != key.public_key():
        raise UsageError(f"{files.key}: it is not the key of the certificate in {files.certificate}")
    return found


def _certificate(pem: bytes, path: Path) -> x509.Certificate:
    """Return the first certificate of a file."""
    try:
        return x509.load_pem_x509_certificates(pem)[0]
    except ValueError:
        raise UsageError(f"{path}: it holds no certificate as PEM") from None

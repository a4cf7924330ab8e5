"""Certificates for mutual TLS, read again when their files change: renewing them is writing the files.

A certificate and key that do not match are being replaced: the previous pair is served until both files are
new. gRPC asks for the certificates at every handshake, and keeps the previous ones if it receives none."""

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
    """PEM files: a certificate with its chain, its key, and the CA of the peer's certificate."""

    certificate: Path
    key: Path
    ca: Path


class _Content(NamedTuple):
    certificate: bytes
    key: bytes
    ca: bytes


def for_server(files: Files) -> grpc.ServerCredentials:
    """Return credentials of a server that accepts only clients with a certificate of the CA.

    Raises UsageError naming the file that cannot be read.
    """
    reloading = _Reloading(files)
    # The stubs do not know that None means "unchanged".
    fetch = cast("Callable[[], grpc.ServerCertificateConfiguration]", reloading.fetch)
    return grpc.dynamic_ssl_server_credentials(reloading.first, fetch, require_client_authentication=True)


def for_client(files: Files) -> grpc.ChannelCredentials:
    """Return the credentials of a client; the files are read now. Raises UsageError naming the file."""
    found = _read(files)
    return grpc.ssl_channel_credentials(found.ca, found.key, found.certificate)


class _Reloading:
    """The content of the files in gRPC's form. gRPC calls it from its own threads."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._seen = _version(files)
        self.first = _configuration(_read(files))

    def fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Return the new content, None if it is unchanged."""
        with self._lock:
            try:
                version = _version(self._files)
                if version == self._seen:
                    return None
                made = _configuration(_read(self._files))
            except UsageError as error:
                log.warning("certificates not reloaded", reason=str(error))
                return None
            self._seen = version
            log.info("certificates reloaded", certificate=str(self._files.certificate))
            return made


def _configuration(found: _Content) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(found.key, found.certificate)], found.ca)


def _version(files: Files) -> _Version:
    """Return a value that changes whenever a file is written or replaced."""
    try:
        found = [path.stat() for path in files]
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}") from None
    return tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in found)


def _read(files: Files) -> _Content:
    """Return the content of the files. Raises UsageError if it is not a certificate, its key and a CA."""
    try:
        found = _Content(*(path.read_bytes() for path in files))
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}") from None
    own = _certificate(found.certificate, files.certificate)
    _certificate(found.ca, files.ca)
    try:
        key = serialization.load_pem_private_key(found.key, None)
    except (ValueError, TypeError):
        raise UsageError(
            f"{files.key}: The file has no PEM private key, or an encrypted one. Give a key without a "
            f"password."
        ) from None
    if own.public_key() != key.public_key():
        raise UsageError(
            f"{files.key}: The key does not belong to the certificate in {files.certificate}. Give its own "
            f"key."
        )
    return found


def _certificate(pem: bytes, path: Path) -> x509.Certificate:
    """Return the first certificate of a file."""
    try:
        return x509.load_pem_x509_certificates(pem)[0]
    except ValueError:
        raise UsageError(f"{path}: The file has no PEM certificate. Give one.") from None

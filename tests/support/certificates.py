"""Certificates that last for a test."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from towpath import pki
from towpath.pki import Identity
from towpath.rpc.credentials import Files

HOSTS = ("127.0.0.1", "localhost")
_DAY = dt.timedelta(days=1)


def authority(name: str) -> Identity:
    return pki.make_authority(name, validity=_DAY)


def identity(by: Identity, name: str, *, serves: Sequence[str] = ()) -> Identity:
    """Return a client's certificate, or that of a server that can be reached as ``serves``."""
    return pki.issue(by, name, validity=_DAY, serves=serves)


def written(folder: Path, mine: Identity, ca: Identity) -> Files:
    """Write the files of one side of mutual TLS, each replaced at once, as whoever renews them does it."""
    folder.mkdir(exist_ok=True)
    files = Files(folder / "tls.crt", folder / "tls.key", folder / "ca.crt")
    contents = (mine.certificate_pem, mine.key_pem, ca.certificate_pem)
    for path, content in zip(files, contents, strict=True):
        replaced(path, content)
    return files


def replaced(path: Path, content: bytes) -> None:
    path.with_suffix(".new").write_bytes(content)
    path.with_suffix(".new").rename(path)

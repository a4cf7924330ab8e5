"""What is in an image: the files of an OCI archive with one manifest.

``python -m tests.support.image ARCHIVE`` prints its SBOM, as the Makefile does.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

SBOM = "usr/share/towpath/sbom.cdx.json"


class Entry(NamedTuple):
    """A file, folder or link of an image, with all that a process could see of it."""

    kind: bytes
    mode: int
    owner: tuple[int, int]
    modified: float
    link: str
    size: int
    digest: str


class Archive:
    """An open OCI archive."""

    def __init__(self, file: tarfile.TarFile) -> None:
        self._file = file
        manifest = json.loads(self._blob(json.loads(self._read("index.json"))["manifests"][0]["digest"]))
        self.config: dict[str, Any] = json.loads(self._blob(manifest["config"]["digest"]))
        self._layers: list[str] = [layer["digest"] for layer in manifest["layers"]]

    def _read(self, name: str) -> bytes:
        found = self._file.extractfile(name)
        assert found, name
        return found.read()

    def _blob(self, digest: str) -> bytes:
        return self._read(f"blobs/sha256/{digest.removeprefix('sha256:')}")

    def _members(self) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
        for digest in self._layers:
            with tarfile.open(fileobj=io.BytesIO(self._blob(digest))) as layer:
                for member in layer:
                    content = layer.extractfile(member) if member.isfile() else None
                    yield member, content.read() if content else b""

    def entries(self) -> dict[str, Entry]:
        """Return everything by its path."""
        return {
            member.name.removeprefix("./"): Entry(
                member.type,
                member.mode,
                (member.uid, member.gid),
                # That of a folder in which others are copied is the time of the build.
                0 if member.isdir() else member.mtime,
                member.linkname,
                member.size,
                hashlib.sha256(content).hexdigest(),
            )
            for member, content in self._members()
        }

    def unpack(self, folder: Path) -> None:
        """Write everything into a folder, as root."""
        for digest in self._layers:
            with tarfile.open(fileobj=io.BytesIO(self._blob(digest))) as layer:
                layer.extractall(folder, filter="tar")

    def read(self, path: str) -> bytes:
        """Return the content of a file."""
        return next(content for member, content in self._members() if member.name.removeprefix("./") == path)


@contextmanager
def opened(archive: Path) -> Iterator[Archive]:
    """Open the archive of an image."""
    with tarfile.open(archive) as file:
        yield Archive(file)


if __name__ == "__main__":
    with opened(Path(sys.argv[1])) as image:
        sys.stdout.write(image.read(SBOM).decode())

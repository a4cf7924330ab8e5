"""Where credentials are kept: in a folder, or in a Secret of the cluster whose pod runs the command.

Both replace what they hold, and a running process reads it without a restart: a folder gets each file in
one step, and a kubelet brings a changed Secret into the volumes of its pods.
"""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from towpath.errors import NotFound, UsageError
from towpath.karmada import resources
from towpath.karmada.client import Client
from towpath.model.ownership import is_own
from towpath.setup.credentials import CredentialFile
from towpath.setup.install import put


class CredentialStore(Protocol):
    """Keeps files by their names."""

    async def read(self) -> dict[str, bytes]:
        """Return the files that there are."""

    async def write(self, files: Iterable[CredentialFile]) -> list[str]:
        """Keep files, and return a line about each."""


class Folder:
    """A folder that only its owner can read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self) -> dict[str, bytes]:
        """Return the files of the folder."""
        if not self._path.is_dir():
            return {}
        return {file.name: file.read_bytes() for file in self._path.iterdir() if file.is_file()}

    async def write(self, files: Iterable[CredentialFile]) -> list[str]:
        """Write each file in one step, readable by its owner only."""
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return [self._write(file) for file in files]

    def _write(self, file: CredentialFile) -> str:
        path = self._path / file.name
        handle, fresh = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as opened:
                opened.write(file.content)
            Path(fresh).replace(path)
        except BaseException:
            Path(fresh).unlink(missing_ok=True)
            raise
        return f"{path} written, valid until {file.expires}"


class Secret:
    """A Secret of Towpath's."""

    def __init__(self, client: Client, namespace: str, name: str) -> None:
        self._client, self._namespace, self._name = client, namespace, name

    async def read(self) -> dict[str, bytes]:
        """Return the files of the Secret. Raises UsageError if it belongs to others."""
        try:
            found = await self._client.get(resources.SECRETS, self._name, self._namespace)
        except NotFound:
            return {}
        if not is_own(found):
            raise UsageError(
                f"Secret {self._namespace}/{self._name}: It does not belong to Towpath. Choose another name."
            )
        return {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}

    async def write(self, files: Iterable[CredentialFile]) -> list[str]:
        """Write all files at once."""
        files = list(files)
        data = {file.name: base64.b64encode(file.content).decode() for file in files}
        metadata = {"name": self._name, "namespace": self._namespace}
        made = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data}
        written = await put(self._client, resources.SECRETS, made)
        where = f"secret/{self._namespace}/{self._name}"
        return [
            f"{where} {written.how}",
            *(f"{where} {file.name} valid until {file.expires}" for file in files),
        ]

    async def delete(self) -> list[str]:
        """Delete the Secret if it is Towpath's."""
        if not await self.read():
            return []
        await self._client.delete(resources.SECRETS, self._name, self._namespace)
        return [f"secret/{self._namespace}/{self._name} deleted"]

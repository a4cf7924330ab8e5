"""Credentials in a folder, and in a Secret of an apiserver that answers as a real one does."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import cast

import pytest

from towpath.errors import NotFound, UsageError
from towpath.karmada import resources
from towpath.karmada.client import Client, Object, Resource
from towpath.model.ownership import MANAGED_BY
from towpath.setup.credential_store import CredentialStore, Folder, Secret
from towpath.setup.credentials import CredentialFile

FILES = [CredentialFile("plugin.kubeconfig", b"new", "2027-01-01T00:00:00Z")]


class Host:
    """An apiserver with Secrets, as far as the store asks it."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Object] = {}

    async def get(self, _resource: Resource, name: str, namespace: str) -> Object:
        try:
            return self.objects[namespace, name]
        except KeyError:
            raise NotFound(f"{namespace}/{name}", 404) from None

    async def apply(self, _resource: Resource, obj: Object, _manager: str, *, dry: bool = False) -> str:
        assert not dry
        self.objects[obj["metadata"]["namespace"], obj["metadata"]["name"]] = obj
        return json.dumps(obj)

    async def delete(self, resource: Resource, name: str, namespace: str) -> None:
        assert resource == resources.SECRETS
        del self.objects[namespace, name]


@pytest.fixture
def host() -> Host:
    return Host()


def secret(host: Host) -> Secret:
    return Secret(cast("Client", host), "towpath", "credentials")


@pytest.mark.parametrize("kind", ["folder", "secret"])
async def test_what_is_written_is_read_again(kind: str, host: Host, tmp_path: Path) -> None:
    store: CredentialStore = Folder(tmp_path / "new") if kind == "folder" else secret(host)
    assert await store.read() == {}

    lines = await store.write(FILES)

    assert await store.read() == {"plugin.kubeconfig": b"new"}
    assert lines[-1].endswith("valid until 2027-01-01T00:00:00Z")


async def test_files_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    await Folder(tmp_path / "new").write(FILES)

    modes = [path.stat().st_mode & 0o777 for path in (tmp_path / "new", tmp_path / "new" / FILES[0].name)]
    assert modes == [0o700, 0o600]


async def test_a_secret_of_others_is_neither_read_nor_deleted(host: Host) -> None:
    data = {"password": base64.b64encode(b"theirs").decode()}
    host.objects["towpath", "credentials"] = {"metadata": {"name": "credentials"}, "data": data}

    with pytest.raises(UsageError, match="does not belong to Towpath"):
        await secret(host).read()
    with pytest.raises(UsageError, match="does not belong to Towpath"):
        await secret(host).delete()


async def test_a_written_secret_is_towpaths_and_is_deleted(host: Host) -> None:
    await secret(host).write(FILES)
    made = host.objects["towpath", "credentials"]
    assert made["metadata"]["labels"].items() >= MANAGED_BY.items()

    assert await secret(host).delete() == ["secret/towpath/credentials deleted"]
    assert not host.objects
    assert await secret(host).delete() == []

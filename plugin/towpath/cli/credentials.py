"""The credentials that ``towpath install`` writes, and where: a folder, or a Secret of the pod's cluster."""

from __future__ import annotations

import sys
from collections import ChainMap
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from towpath import __version__
from towpath.errors import UsageError

if TYPE_CHECKING:
    from towpath.karmada.client import Client
    from towpath.setup.credential_store import CredentialStore
    from towpath.setup.install import Installed


class Wanted(NamedTuple):
    """Where to write credentials, and for which host certificates between webhook and plugin."""

    folder: Path | None = None
    secret: str | None = None
    plugin_host: str | None = None


class Places(NamedTuple):
    """The places that credentials are written to, and what is there already."""

    stores: Sequence[CredentialStore]
    stored: Mapping[str, bytes]
    plugin_host: str | None


@asynccontextmanager
async def opened(wanted: Wanted) -> AsyncIterator[Places]:
    """Give the places. Raises before anything is written if one of them cannot be used."""
    from towpath.setup.credential_store import Folder, Secret

    async with AsyncExitStack() as open_:
        stores: list[CredentialStore] = []
        if wanted.folder is not None:
            stores.append(Folder(wanted.folder))
        if wanted.secret is not None:
            namespaced = parse_name(wanted.secret, "--write-secret")
            stores.append(Secret(await open_.enter_async_context(await _own_cluster()), *namespaced))
        yield Places(stores, ChainMap(*[await store.read() for store in stores]), wanted.plugin_host)


async def write(client: Client, places: Places) -> Sequence[Installed]:
    """Issue credentials, write them, and print a line about each. Returns what that created on Karmada."""
    from towpath.setup.credentials import issue_kubeconfigs
    from towpath.setup.plugin_tls import issue_certificates

    if not places.stores:
        return []
    installed, files = await issue_kubeconfigs(client)
    if places.plugin_host is not None:
        files += issue_certificates(places.plugin_host, places.stored, datetime.now(UTC))
    for store in places.stores:
        sys.stdout.writelines(f"{line}\n" for line in await store.write(files))
    return installed


async def delete(namespaced: tuple[str, str]) -> None:
    """Delete the Secret that ``write`` has made, given by namespace and name."""
    from towpath.setup.credential_store import Secret

    async with await _own_cluster() as client:
        sys.stdout.writelines(f"{line}\n" for line in await Secret(client, *namespaced).delete())


def parse_name(text: str, option: str) -> tuple[str, str]:
    """Return namespace and name. Raises UsageError if one of them is missing."""
    namespace, _, name = text.partition("/")
    if not namespace or not name:
        raise UsageError(f"{option}: Invalid value {text!r}: must be NAMESPACE/NAME.")
    return namespace, name


async def _own_cluster() -> Client:
    """Return a client to the cluster whose pod runs this command."""
    from towpath.karmada.client import Client

    return await Client.connect(None, user_agent=f"towpath/{__version__}")

"""Credentials of the plugin and of the webhook, as kubeconfig files.

Each gets a ServiceAccount in Karmada, which ``deploy/karmada/rbac.yaml`` binds to its permissions, and a
token for it. A token needs neither a CA key nor a signer, so this works on every Karmada, and deleting the
ServiceAccount revokes it, which a client certificate does not allow. The token expires: running the command
again writes new files, which a running process reads without a restart.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from towpath.karmada import resources
from towpath.karmada.client import Client, Object
from towpath.karmada.installation import NAMESPACE
from towpath.setup.install import Installed, put

PARTS = ("plugin", "webhook")
TOKEN_SECONDS = 365 * 24 * 3600
"""How long a token should be valid; the apiserver may grant less."""


class Written(NamedTuple):
    """A kubeconfig file, and when the token in it expires (RFC 3339)."""

    path: Path
    expires: str


async def write_kubeconfigs(client: Client, folder: Path) -> tuple[list[Installed], list[Written]]:
    """Create the ServiceAccounts and write ``plugin.kubeconfig`` and ``webhook.kubeconfig``."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    done, written = [], []
    for part in PARTS:
        account = f"towpath-{part}"
        metadata = {"name": account, "namespace": NAMESPACE}
        made: Object = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
        done.append(await put(client, resources.SERVICE_ACCOUNTS, made))
        token = await client.json(
            "POST",
            resources.SERVICE_ACCOUNTS.path(NAMESPACE, account, "token"),
            body={
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"expirationSeconds": TOKEN_SECONDS},
            },
        )
        path = folder / f"{part}.kubeconfig"
        _write(path, kubeconfig(account, client.cluster, token["status"]["token"]))
        written.append(Written(path, token["status"]["expirationTimestamp"]))
    return done, written


def kubeconfig(user: str, cluster: dict[str, Any], token: str) -> str:
    """Return a kubeconfig for one user; ``cluster`` is its cluster entry."""
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "karmada", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": user, "context": {"cluster": "karmada", "user": user}}],
            "current-context": user,
        },
        sort_keys=False,
    )


def _write(path: Path, text: str) -> None:
    """Replace a file in one step, readable by its owner only."""
    handle, fresh = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        Path(fresh).replace(path)
    except BaseException:
        Path(fresh).unlink(missing_ok=True)
        raise

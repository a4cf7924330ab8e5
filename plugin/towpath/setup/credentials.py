"""Credentials of the plugin and of the webhook, as files with fixed names.

Each gets a ServiceAccount in Karmada, which ``deploy/karmada/rbac.yaml`` binds to its permissions, and a
token for it in a kubeconfig. A token needs neither a CA key nor a signer, so this works on every Karmada, and
deleting the ServiceAccount revokes it, which a client certificate does not allow. The token expires: running
the command again makes new files, which a running process reads without a restart.

``credential_store`` keeps the files, ``plugin_tls`` adds the certificates between webhook and plugin.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import yaml

from towpath.karmada import resources
from towpath.karmada.client import Client, Object
from towpath.karmada.installation import NAMESPACE
from towpath.setup.install import Installed, put

PARTS = ("plugin", "webhook")
TOKEN_SECONDS = 365 * 24 * 3600
"""How long a token should be valid; the apiserver may grant less."""


class CredentialFile(NamedTuple):
    """The content of a file, and when what it holds expires (RFC 3339)."""

    name: str
    content: bytes
    expires: str


async def issue_kubeconfigs(client: Client) -> tuple[list[Installed], list[CredentialFile]]:
    """Create the ServiceAccounts, and kubeconfigs named ``plugin.kubeconfig`` and ``webhook.kubeconfig``."""
    done, files = [], []
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
        content = kubeconfig(account, client.cluster, token["status"]["token"]).encode()
        files.append(CredentialFile(f"{part}.kubeconfig", content, token["status"]["expirationTimestamp"]))
    return done, files


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

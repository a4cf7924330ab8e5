"""Putting Towpath's CRDs and permissions into a Karmada apiserver, and taking out what was put in.

What is there already is not replaced: a platform that has ErieCanal's or FSM's own CRDs keeps them, and
Towpath works with those. Only objects that carry Towpath's label are brought up to date.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from towpath.errors import NotFound
from towpath.karmada import resources
from towpath.karmada.client import Client, Object, Resource
from towpath.karmada.discovery import Discovery
from towpath.model import manifest
from towpath.model.keys import Dialect
from towpath.model.ownership import MANAGED_BY, is_own
from towpath.polling import accepted
from towpath.setup.assets import deployed

MANAGER = "towpath-install"
CRDS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
SHARING = resources.CLUSTER_PROPAGATION_POLICIES
"""The policy by which Karmada brings the CRDs to members that lack them."""
_PATIENCE = 30.0
"""Seconds within which an apiserver serves the kind of a new CRD."""


class Installed(NamedTuple):
    """One object that was dealt with, and ``how``: created, updated, unchanged, deleted, or kept.

    Kept is what others have put there.
    """

    resource: Resource
    name: str
    how: str
    namespace: str = ""


async def install(client: Client, crds: Path | None = None, *, dry: bool = False) -> list[Installed]:
    """Install CRDs (ours, or those of a folder), permissions and what lets Karmada report.

    Waits until all kinds are served. A ``dry`` run tells what would be done, and writes nothing.
    """
    definitions = manifest.load(crds or deployed("crds"))
    done = await asyncio.gather(*(put(client, CRDS, definition, dry=dry) for definition in definitions))
    if not dry:
        await asyncio.gather(*(served(client, definition) for definition in definitions))
    rest = [
        obj for name in ("rbac.yaml", "interpreter.yaml") for obj in manifest.load(deployed("karmada") / name)
    ]
    return [*done, *await put_all(client, rest, dry=dry)]


async def share_crds(client: Client, *, dry: bool = False) -> list[Installed]:
    """Let Karmada bring the CRDs to members, if any member lacks them. Returns the policy made for it."""
    members = await client.list(resources.CLUSTERS)
    if all(serves(member, dialect) for member in members for dialect in Dialect):
        return []
    return await put_all(client, manifest.load(deployed("karmada") / "crds-to-members.yaml"), dry=dry)


def serves(cluster: Object, dialect: Dialect) -> bool:
    """Tell whether a Karmada Cluster reports the ServiceImports of a dialect."""
    enablements: list[dict[str, Any]] = cluster.get("status", {}).get("apiEnablements", [])
    return any(
        e["groupVersion"] == dialect.api_version and any(r["kind"] == "ServiceImport" for r in e["resources"])
        for e in enablements
    )


async def put_all(client: Client, objects: Iterable[Object], *, dry: bool = False) -> list[Installed]:
    """Put objects in, one after the other: created, brought up to date if they are ours, else kept."""
    discovery = Discovery(client)
    done = []
    for obj in objects:
        # Karmada may just be installed itself, and some of its kinds not served yet.
        resource = await accepted(partial(discovery.of, obj), patience=_PATIENCE)
        done.append(await put(client, resource, obj, dry=dry))
    return done


async def put(client: Client, resource: Resource, obj: Object, *, dry: bool = False) -> Installed:
    """Put one object in: created, brought up to date if it is ours, else kept."""
    name, namespace = obj["metadata"]["name"], obj["metadata"].get("namespace", "")
    try:
        live = await client.get(resource, name, namespace)
    except NotFound:
        live = None
    if live is not None and not is_own(live):
        return Installed(resource, name, "kept", namespace)
    if dry and live is None:
        return Installed(resource, name, "created", namespace)
    labelled = {
        **obj,
        "metadata": {**obj["metadata"], "labels": {**obj["metadata"].get("labels", {}), **MANAGED_BY}},
    }
    after = json.loads(await client.apply(resource, labelled, MANAGER, dry=dry))
    return Installed(resource, name, _how(live, after), namespace)


def _how(before: Object | None, after: Object) -> str:
    if before is None:
        return "created"
    # Not the resourceVersion alone: a dry run has none of its own.
    same = all(before.get(part) == after.get(part) for part in {*before, *after} - {"metadata", "status"})
    labels = before["metadata"].get("labels") == after["metadata"].get("labels")
    return "unchanged" if same and labels else "updated"


async def served(client: Client, definition: Object) -> None:
    """Wait until a CRD's kind answers."""
    spec = definition["spec"]
    resource = Resource(
        spec["group"],
        spec["versions"][0]["name"],
        spec["names"]["plural"],
        spec["names"]["kind"],
        namespaced=False,
    )
    await accepted(lambda: client.request("GET", resource.path(), query=[("limit", "1")]), patience=_PATIENCE)


async def remove(client: Client, installed: Iterable[Installed]) -> None:
    """Delete what an installation created, last first."""
    for item in reversed(list(installed)):
        if item.how == "created":
            await client.delete(item.resource, item.name, item.namespace)

"""Installing Towpath's CRDs, permissions and admission policies in a Karmada apiserver.

Objects that exist already and do not carry Towpath's label are kept: a platform that has ErieCanal's or
FSM's own CRDs keeps them, and Towpath works with those. Objects with the label are brought up to date.

The last object is a ConfigMap that says that Towpath is installed. Running plugins watch it: they write
nothing before it exists, and stop writing when ``uninstall`` deletes it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from towpath import __version__
from towpath.errors import NotFound
from towpath.karmada import resources
from towpath.karmada.client import Client, Object, Resource
from towpath.karmada.discovery import Discovery
from towpath.karmada.installation import INSTALLATION, NAMESPACE, read_marker
from towpath.model import manifest
from towpath.model.installation import PATHS, PathScope
from towpath.model.keys import Dialect
from towpath.model.ownership import MANAGED_BY, is_own
from towpath.polling import accepted
from towpath.setup.assets import deployed

MANAGER = "towpath-install"
SHARING = resources.CLUSTER_PROPAGATION_POLICIES
"""The kind of policy by which Karmada propagates the CRDs to members that lack them."""
_SERVED_WITHIN_SECONDS = 30.0
"""How long an apiserver may take to serve the kind of a new CRD."""
_NAMESPACED_PATHS = "towpath-namespaced-paths"
_MANIFESTS = ("rbac.yaml", "interpreter.yaml", "admission-policies.yaml")


class Installed(NamedTuple):
    """One object and ``how`` it was handled: created, updated, unchanged, deleted or kept.

    An object is kept if it does not belong to Towpath.
    """

    resource: Resource
    name: str
    how: str
    namespace: str = ""


async def install(
    client: Client, crds: Path | None = None, *, paths: PathScope | None = None, dry: bool = False
) -> list[Installed]:
    """Install CRDs (Towpath's, or those of a folder), permissions, admission policies and interpreters.

    ``paths`` says which paths exports may have: without it, the setting stays as it is. Waits until all kinds
    are served. A ``dry`` run reports what would be done and writes nothing.
    """
    definitions = manifest.load(crds or deployed("crds"))
    done = await asyncio.gather(
        *(put(client, resources.CRDS, definition, dry=dry) for definition in definitions)
    )
    if not dry:
        await asyncio.gather(*(served(client, definition) for definition in definitions))
    if paths is None:
        paths = PathScope.of((await read_marker(client) or {}).get("data") or {})
    return [*done, *await put_all(client, [*objects_of(paths), _marker(paths)], dry=dry)]


def objects_of(paths: PathScope) -> list[Object]:
    """Return what an installation has besides the CRDs and its marker."""
    shipped = (obj for name in _MANIFESTS for obj in manifest.load(deployed("karmada") / name))
    return [_scoped(obj, paths) for obj in shipped]


def _scoped(obj: Object, paths: PathScope) -> Object:
    """Let the policy about namespaced paths refuse nothing unless paths are namespaced."""
    binding = ("ValidatingAdmissionPolicyBinding", _NAMESPACED_PATHS)
    if (obj["kind"], obj["metadata"]["name"]) != binding or paths is PathScope.NAMESPACED:
        return obj
    return {**obj, "spec": {**obj["spec"], "validationActions": ["Audit"]}}


def _marker(paths: PathScope) -> Object:
    metadata = {"name": INSTALLATION, "namespace": NAMESPACE}
    data = {"version": __version__, PATHS: paths.value}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


async def share_crds(client: Client, *, dry: bool = False) -> list[Installed]:
    """Let Karmada propagate the CRDs if any member lacks them. Returns the policy made for it."""
    members = await client.list(resources.CLUSTERS)
    if all(serves(member, dialect) for member in members for dialect in Dialect):
        return []
    return await put_all(client, manifest.load(deployed("karmada") / "crds-to-members.yaml"), dry=dry)


def serves(cluster: Object, dialect: Dialect) -> bool:
    """Report whether a Karmada Cluster serves the ServiceImports of an API group."""
    enablements: list[dict[str, Any]] = cluster.get("status", {}).get("apiEnablements", [])
    return any(
        e["groupVersion"] == dialect.api_version and any(r["kind"] == "ServiceImport" for r in e["resources"])
        for e in enablements
    )


async def put_all(client: Client, objects: Iterable[Object], *, dry: bool = False) -> list[Installed]:
    """Put several objects: in order, or, in a ``dry`` run that changes nothing, side by side."""
    discovery = Discovery(client)

    async def put_one(obj: Object) -> Installed:
        # Karmada may have been installed a moment ago, with some of its kinds not served yet.
        resource = await accepted(partial(discovery.of, obj), patience=_SERVED_WITHIN_SECONDS)
        return await put(client, resource, obj, dry=dry)

    if dry:
        return await asyncio.gather(*map(put_one, objects))
    return [await put_one(obj) for obj in objects]


async def put(client: Client, resource: Resource, obj: Object, *, dry: bool = False) -> Installed:
    """Create one object, update it if it belongs to Towpath, or else keep it."""
    name, namespace = obj["metadata"]["name"], obj["metadata"].get("namespace", "")
    try:
        live = await client.get(resource, name, namespace)
    except NotFound:
        live = None
    if live is not None and not is_own(live):
        return Installed(resource, name, "kept", namespace)
    labelled = {
        **obj,
        "metadata": {**obj["metadata"], "labels": {**obj["metadata"].get("labels", {}), **MANAGED_BY}},
    }
    try:
        after = json.loads(await client.apply(resource, labelled, MANAGER, dry=dry))
    except NotFound:
        if not dry:
            raise
        after = {}  # what it needs has not been created either: a namespace, or a role
    return Installed(resource, name, _how(live, after), namespace)


def _how(before: Object | None, after: Object) -> str:
    if before is None:
        return "created"
    # Not the resourceVersion alone: a dry run has none of its own.
    same = all(before.get(part) == after.get(part) for part in {*before, *after} - {"metadata", "status"})
    labels = before["metadata"].get("labels") == after["metadata"].get("labels")
    return "unchanged" if same and labels else "updated"


async def served(client: Client, definition: Object) -> None:
    """Wait until a CRD's kind is served."""
    spec = definition["spec"]
    resource = Resource(
        spec["group"],
        spec["versions"][0]["name"],
        spec["names"]["plural"],
        spec["names"]["kind"],
        namespaced=False,
    )
    await accepted(
        lambda: client.request("GET", resource.path(), query=[("limit", "1")]),
        patience=_SERVED_WITHIN_SECONDS,
    )


async def remove(client: Client, installed: Iterable[Installed]) -> None:
    """Delete what an installation created, in reverse order."""
    for item in reversed(list(installed)):
        if item.how == "created":
            await client.delete(item.resource, item.name, item.namespace)

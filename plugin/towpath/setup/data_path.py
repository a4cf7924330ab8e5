"""The data path on a Karmada: what ``install --data-path`` puts there, and how ``uninstall`` takes it away.

Karmada distributes it: a ClusterPropagationPolicy brings the agent and its Envoy to every member with the
label ``towpath.io/data-path: net``. The label is set here on the members that do not have it with any value,
so ``none`` keeps a member out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from towpath import __version__
from towpath.errors import Unreachable
from towpath.karmada import resources
from towpath.karmada.client import MERGE, Client, Object
from towpath.model import manifest
from towpath.model.cluster import DATA_PATH_LABEL, DATA_PATH_NET
from towpath.model.ownership import is_own
from towpath.polling import until
from towpath.setup.assets import deployed
from towpath.setup.install import MANAGER, Installed, put_all

NAMESPACE = "towpath-system"
"""Namespace of the data path, in Karmada and in the members."""
IMAGE = f"docker.io/towpath/towpath:{__version__}"
"""Towpath's own image."""
_AGENT = "agent"


def data_path_objects(image: str = IMAGE) -> Iterator[Object]:
    """Yield the objects of the data path: those that Karmada brings to members, and then how it does that."""
    for obj in manifest.load(deployed("datapath") / "agent.yaml"):
        yield _with_image(obj, image) if obj["kind"] == "DaemonSet" else obj
    yield from manifest.load(deployed("datapath") / "karmada.yaml")


def _with_image(daemon_set: Object, image: str) -> Object:
    for container in daemon_set["spec"]["template"]["spec"]["containers"]:
        if container["name"] == _AGENT:
            container["image"] = image
    return daemon_set


async def install_data_path(client: Client, image: str = IMAGE, *, dry: bool = False) -> list[Installed]:
    """Install the data path, and label the members that are to have it."""
    labelled = [
        await _label(client, cluster["metadata"]["name"], DATA_PATH_NET, dry=dry)
        for cluster in await client.list(resources.CLUSTERS)
        if DATA_PATH_LABEL not in _labels(cluster)
    ]
    return [*labelled, *await put_all(client, data_path_objects(image), dry=dry)]


async def remove_data_path(client: Client, patience: float, *, dry: bool = False) -> list[Installed]:
    """Remove the data path from Karmada and from every member, and wait until Karmada has done that.

    What has no namespace goes with Towpath's other permissions. Raises Unreachable if Karmada does not.
    """
    found = [ns for ns in await client.list(resources.NAMESPACES) if ns["metadata"]["name"] == NAMESPACE]
    done = [Installed(resources.NAMESPACES, NAMESPACE, "deleted") for ns in found if is_own(ns)]
    if done and not dry:
        await client.delete(resources.NAMESPACES, NAMESPACE)
        await _gone(client, patience)
    members = [
        c for c in await client.list(resources.CLUSTERS) if _labels(c).get(DATA_PATH_LABEL) == DATA_PATH_NET
    ]
    return [*done, *[await _label(client, c["metadata"]["name"], None, dry=dry) for c in members]]


async def _gone(client: Client, patience: float) -> None:
    """Wait until no member is to have an object of the namespace, and Karmada has no such namespace."""

    async def left() -> list[str]:
        namespaces = [
            f"Namespace {NAMESPACE}"
            for ns in await client.list(resources.NAMESPACES)
            if ns["metadata"]["name"] == NAMESPACE
        ]
        return namespaces + [
            f"Work {work['metadata']['namespace']}/{work['metadata']['name']}"
            for work in await client.list(resources.WORKS)
            if any(map(_is_of_data_path, work["spec"].get("workload", {}).get("manifests", [])))
        ]

    def otherwise(found: list[str]) -> Unreachable:
        return Unreachable(
            f"{found[0]}: Karmada has not removed the data path from the members in {patience:.0f} s. Check "
            "that Karmada's controllers run, and uninstall again."
        )

    await until(left, lambda found: not found, patience=patience, otherwise=otherwise)


def _is_of_data_path(manifest_: Object) -> bool:
    meta = manifest_["metadata"]
    return meta.get("namespace") == NAMESPACE or (manifest_["kind"], meta["name"]) == ("Namespace", NAMESPACE)


def _labels(cluster: Object) -> dict[str, Any]:
    return cluster["metadata"].get("labels") or {}


async def _label(client: Client, member: str, value: str | None, *, dry: bool) -> Installed:
    if not dry:
        body = {"metadata": {"labels": {DATA_PATH_LABEL: value}}}
        query = [("fieldManager", MANAGER)]
        path = resources.CLUSTERS.path("", member)
        await client.request("PATCH", path, query=query, body=body, content_type=MERGE)
    return Installed(resources.CLUSTERS, member, "updated")

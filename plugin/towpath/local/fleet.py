"""Reads members through Karmada's own proxy: what they really hold, with one kubeconfig."""

from __future__ import annotations

from towpath.errors import NotFound
from towpath.karmada import resources
from towpath.karmada.client import Client, Object, Resource
from towpath.local.members import is_ready


class Fleet:
    """Reads objects of members. The caller's rights in the member are those Karmada gives it there."""

    def __init__(self, karmada: Client) -> None:
        self._karmada = karmada

    async def get(self, member: str, resource: Resource, name: str, namespace: str = "") -> Object | None:
        """Return a member's object, None if it has none of that name or does not serve its kind."""
        path = resources.CLUSTERS.path("", member, "proxy") + resource.path(namespace, name)
        try:
            return await self._karmada.json("GET", path)
        except NotFound:
            return None

    async def ready_pods(self, member: str, namespace: str, selector: str) -> list[str]:
        """Return the names of the pods in a member that have the labels and are Ready."""
        path = resources.CLUSTERS.path("", member, "proxy") + resources.PODS.path(namespace)
        found = await self._karmada.json("GET", path, query=[("labelSelector", selector)])
        return [pod["metadata"]["name"] for pod in found["items"] if is_ready(pod)]

"""Discovery: which path serves a kind. Answers are kept for the life of a ``Discovery``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from towpath.errors import InvalidObject, NotFound
from towpath.karmada.client import Client, Resource


class Discovery:
    """Finds the ``Resource`` of an ``apiVersion`` and ``kind``."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._groups: dict[str, dict[str, Resource]] = {}

    async def resource(self, api_version: str, kind: str) -> Resource:
        """Return where a kind is served. Raises NotFound if this apiserver does not serve it."""
        known = self._groups.get(api_version, {})
        if kind not in known:
            known = self._groups[api_version] = await self._ask(api_version)
        try:
            return known[kind]
        except KeyError:
            raise NotFound(
                f"{self._client.where}: The apiserver does not serve {kind} of {api_version}.", 404
            ) from None

    async def of(self, obj: Mapping[str, Any]) -> Resource:
        """Return where an object is served. Raises InvalidObject without apiVersion, kind or name."""
        match obj:
            case {"apiVersion": str(api_version), "kind": str(kind), "metadata": {"name": str()}}:
                return await self.resource(api_version, kind)
        raise InvalidObject("apiVersion, kind, metadata.name: Required value. Set all three.")

    async def _ask(self, api_version: str) -> dict[str, Resource]:
        group, _, version = api_version.rpartition("/")
        path = f"/apis/{api_version}" if group else f"/api/{version}"
        try:
            answer = await self._client.json("GET", path)
        except NotFound:
            return {}
        return {
            r["kind"]: Resource(group, version, r["name"], r["kind"], r["namespaced"])
            for r in answer["resources"]
            if "/" not in r["name"]
        }

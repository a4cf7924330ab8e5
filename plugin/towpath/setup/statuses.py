"""Removing what Towpath wrote into the status of users' objects, when nothing keeps it true any more.

Karmada's controller-manager writes the status of exports too, from the answers of the interpreter, so it owns
parts of the conditions as well. Giving up our own field ownership by server-side apply would then leave half
a condition, which the CRD refuses. So the conditions and fields are named and removed by a merge patch on the
version that was read, whoever owns them. What others have added to the status stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from towpath.derivation.status import FIELDS
from towpath.errors import Conflict, NotFound
from towpath.karmada import resources
from towpath.karmada.client import MERGE, Client, Object, Resource
from towpath.model.condition import ACCEPTED, CONFLICT, MANAGED, READY, RESOLVED, VALID
from towpath.model.keys import Dialect

_CONDITIONS = {
    resources.service_exports: (VALID, CONFLICT, READY),
    resources.traffic_policies: (ACCEPTED, RESOLVED),
    resources.flomesh_clusters: (MANAGED,),
}


async def clear_statuses(client: Client) -> dict[Resource, int]:
    """Clear the status of all exports, traffic policies and flomesh Clusters; return how many there are."""
    found: dict[Resource, int] = {}
    for kind, types in _CONDITIONS.items():
        for resource in map(kind, Dialect):
            try:
                objects = await client.list(resource)
            except NotFound:
                continue  # the kind is not served
            found[resource] = len(objects)
            for obj in objects:
                await _clear(client, resource, obj, types)
    return found


async def _clear(client: Client, resource: Resource, obj: Object, types: tuple[str, ...]) -> None:
    name, namespace = obj["metadata"]["name"], obj["metadata"].get("namespace", "")
    path = resource.path(namespace, name, "status")
    while (status := cleared(obj.get("status") or {}, types)) is not None:
        body = {"metadata": {"resourceVersion": obj["metadata"]["resourceVersion"]}, "status": status}
        try:
            await client.request("PATCH", path, body=body, content_type=MERGE)
        except Conflict:
            obj = await client.get(resource, name, namespace)
            continue
        except NotFound:
            pass  # deleted, or the CRD has no status
        return


def cleared(status: Mapping[str, Any], types: tuple[str, ...]) -> dict[str, Any] | None:
    """Return the merge patch that removes what is ours from a status, None if nothing is.

    A patch that would leave nothing removes the conditions and fields one by one all the same.
    """
    conditions = status.get("conditions") or []
    others = [condition for condition in conditions if condition.get("type") not in types]
    patch: dict[str, Any] = {field: None for field in FIELDS if field in status}
    if len(others) < len(conditions):
        patch["conditions"] = others or None
    return patch or None

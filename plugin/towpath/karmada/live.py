"""Reading a live Karmada for a plan: the input of the derivation, and the derived objects."""

from __future__ import annotations

import asyncio
from typing import Any

from towpath.errors import NotFound
from towpath.karmada import resources
from towpath.karmada.client import Client, Resource
from towpath.karmada.installation import read_marker
from towpath.model.keys import Dialect

_KINDS: tuple[Resource, ...] = (
    resources.CLUSTERS,
    resources.NAMESPACES,
    resources.SERVICES,
    resources.BINDINGS,
    resources.PROPAGATION_POLICIES,
    resources.CLUSTER_PROPAGATION_POLICIES,
    resources.OVERRIDE_POLICIES,
    resources.CLUSTER_OVERRIDE_POLICIES,
    resources.HTTP_ROUTES,
    resources.INGRESSES,
    *(
        of(dialect)
        for dialect in Dialect
        for of in (
            resources.flomesh_clusters,
            resources.service_exports,
            resources.service_imports,
            resources.traffic_policies,
        )
    ),
)


async def read_live(client: Client) -> list[dict[str, Any]]:
    """Return all objects of these kinds; a kind that is not served has none. Raises ApiError."""
    marker, *lists = await asyncio.gather(_marker(client), *(_all(client, resource) for resource in _KINDS))
    return [obj for objects in (marker, *lists) for obj in objects]


async def _marker(client: Client) -> list[dict[str, Any]]:
    found = await read_marker(client)
    return [{"apiVersion": "v1", "kind": "ConfigMap", **found}] if found else []


async def _all(client: Client, resource: Resource) -> list[dict[str, Any]]:
    try:
        objects = await client.list(resource)
    except NotFound:
        return []
    # Items in lists of built-in kinds have no apiVersion and kind.
    own = {"apiVersion": resource.api_version, "kind": resource.kind}
    return [{**own, **obj} for obj in objects]

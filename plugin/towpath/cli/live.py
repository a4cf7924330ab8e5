"""Reading a live Karmada for ``towpath plan``: the kinds that a derivation starts from, and what it made."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from towpath import __version__
from towpath.errors import NotFound
from towpath.karmada import resources
from towpath.karmada.client import Client, Resource
from towpath.model.keys import Dialect
from towpath.render import MANAGED_BY

_KINDS: tuple[Resource, ...] = (
    resources.CLUSTERS,
    resources.SERVICES,
    resources.BINDINGS,
    resources.PROPAGATION_POLICIES,
    resources.CLUSTER_PROPAGATION_POLICIES,
    resources.OVERRIDE_POLICIES,
    resources.CLUSTER_OVERRIDE_POLICIES,
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


async def read_live(kubeconfig: Path | None, context: str | None) -> list[dict[str, Any]]:
    """Return all objects of these kinds; a kind that is not served has none. Raises ApiError."""
    agent = f"towpath/{__version__}"
    async with await Client.connect(kubeconfig, context=context, user_agent=agent) as client:
        lists = await asyncio.gather(*(_all(client, resource) for resource in _KINDS))
    return [obj for objects in lists for obj in objects]


async def _all(client: Client, resource: Resource) -> list[dict[str, Any]]:
    try:
        objects = await client.list(resource)
    except NotFound:
        return []
    # Lists of built-in kinds leave out what their items are.
    own = {"apiVersion": resource.api_version, "kind": resource.kind}
    return [{**own, **obj} for obj in objects]


def derived_in(objects: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the objects that Towpath may have made: all ServiceImports, and the policies with its label."""
    return [obj for obj in objects if obj["kind"] == "ServiceImport" or _is_ours(obj)]


def _is_ours(obj: Mapping[str, Any]) -> bool:
    labels = obj["metadata"].get("labels") or {}
    policy = obj["kind"] in {"PropagationPolicy", "OverridePolicy"}
    return policy and all(labels.get(name) == value for name, value in MANAGED_BY.items())

"""Bringing the objects of one service to what they should be: derive, render, write what differs.

Written in the order OverridePolicy and PropagationPolicy, then ServiceImport: Karmada takes a template
up the moment it appears, and both policies must be there by then. Where nobody imports any more, only the
template is deleted: without its policies what is still in the members would for a moment be the full list,
and without a template the policies do nothing. They go with the export.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog

from towpath.controller.inventory import Inventory
from towpath.derive import Derived, derive_service
from towpath.karmada.apply import MANAGER, is_as_wanted
from towpath.karmada.client import Client
from towpath.karmada.reflector import Reflector
from towpath.model.keys import ServiceKey
from towpath.render import MANAGED_BY, policy_name, render

log = structlog.get_logger()
Wanted = Mapping[str, Any] | None


class Reconciler:
    """Writes what is derived. ``reconcile`` may run for several services at once."""

    def __init__(self, client: Client, inventory: Inventory) -> None:
        self._client = client
        self._inventory = inventory
        self._told: dict[ServiceKey, tuple[object, ...]] = {}

    async def reconcile(self, key: ServiceKey) -> None:
        """Derive one service and write what differs. Raises ApiError: try again later.

        What a deleted export leaves is the garbage collector's: it owns everything derived from it.
        """
        service = self._inventory.exported(key)
        if service is None:
            self._told.pop(key, None)
            return
        derived = derive_service(service, self._inventory.members)
        wanted = render(key, service.uid, derived)
        imports = self._inventory.imports[key.dialect]
        live = imports.get(key.name, key.namespace)
        if live is not None and not _is_ours(live):
            log.error("not written", service=str(key), reason="a ServiceImport of that name is not Towpath's")
            return
        if wanted.service_import is None:
            await self._remove(imports, key.namespace, key.name)
            self._tell(key, derived)
            return
        policies = (
            (self._inventory.overrides, wanted.override),
            (self._inventory.propagation, wanted.propagation),
        )
        await asyncio.gather(*(self._ensure(r, key.namespace, policy_name(key), w) for r, w in policies if w))
        await self._ensure(imports, key.namespace, key.name, wanted.service_import)
        if wanted.override is None:
            await self._remove(self._inventory.overrides, key.namespace, policy_name(key))
        self._tell(key, derived)

    async def _ensure(
        self, reflector: Reflector[dict[str, Any]], namespace: str, name: str, wanted: Mapping[str, Any]
    ) -> None:
        live = reflector.get(name, namespace)
        if live is not None and (_is_going(live) or is_as_wanted(live, wanted)):
            return  # of one that is going we hear again when it has gone, and then make it anew
        # What we have not made ourselves is not taken over: then the apiserver answers with a conflict.
        answer = await self._client.apply(reflector.resource, wanted, MANAGER, force=live is not None)
        reflector.learn(answer)
        log.info("written", kind=reflector.resource.kind, name=f"{namespace}/{name}")

    async def _remove(self, reflector: Reflector[dict[str, Any]], namespace: str, name: str) -> None:
        live = reflector.get(name, namespace)
        if live is None or _is_going(live):
            return
        if await self._client.delete(reflector.resource, name, namespace, uid=live["metadata"]["uid"]):
            log.info("removed", kind=reflector.resource.kind, name=f"{namespace}/{name}")

    def _tell(self, key: ServiceKey, derived: Derived) -> None:
        """Log who exports and imports a service, when that is news."""
        news = (derived.exporters, tuple(derived.views), tuple(derived.excluded.items()))
        if self._told.get(key) != news:
            self._told[key] = news
            log.info(
                "derived",
                service=str(key),
                exporters=list(derived.exporters),
                importers=list(derived.views),
                excluded={cluster: reason.value for cluster, reason in derived.excluded.items()},
            )


def _is_going(live: Mapping[str, Any]) -> bool:
    """Tell whether an object waits for its finalizers: a PropagationPolicy does, for Karmada."""
    return "deletionTimestamp" in live["metadata"]


def _is_ours(live: Mapping[str, Any]) -> bool:
    labels = live["metadata"].get("labels", {})
    return all(labels.get(name) == value for name, value in MANAGED_BY.items())

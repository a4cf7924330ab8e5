"""Bringing the objects of one service to what they should be: derive, render, write what differs."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import structlog

from towpath.changes import Change, Live, changes, is_foreign
from towpath.controller.inventory import Inventory
from towpath.derive import Derived
from towpath.karmada.client import Client
from towpath.karmada.reflector import Reflector
from towpath.model.keys import ServiceKey
from towpath.render import MOST_POLICIES, policy_name, render
from towpath.sameness import MANAGER

log = structlog.get_logger()


class Reconciler:
    """Writes what is derived. ``reconcile`` may run for several services at once."""

    def __init__(self, client: Client, inventory: Inventory) -> None:
        self._client = client
        self._inventory = inventory
        self._told: dict[ServiceKey, tuple[object, ...]] = {}

    async def reconcile(self, key: ServiceKey) -> float | None:
        """Derive one service and write what differs. Raises ApiError: try again later.

        Returns the time (seconds since 1970) at which it is due again though nothing has happened, None if
        never. What a deleted export leaves is the garbage collector's: it owns everything derived from it.
        """
        service = self._inventory.world.services.get(key)
        derived = self._inventory.world.derived(key, time.time())
        if service is None or derived is None:
            self._told.pop(key, None)
            return None
        live, wanted = self._live(key), render(key, service.uid, derived)
        if is_foreign(live.service_import):
            log.error("not written", service=str(key), reason="a ServiceImport of that name is not Towpath's")
        elif wanted.refused:
            log.error("not written", service=str(key), reason=wanted.refused.message)
        for stage in changes(live, wanted):
            await asyncio.gather(*map(self._write, stage))
        self._tell(key, derived)
        return derived.look_again

    def _live(self, key: ServiceKey) -> Live:
        inventory, name = self._inventory, policy_name(key)
        numbered = (policy_name(key, number) for number in range(MOST_POLICIES))
        return Live(
            inventory.imports[key.dialect].get(key.name, key.namespace),
            inventory.propagation.get(name, key.namespace),
            {n: obj for n in numbered if (obj := inventory.overrides.get(n, key.namespace)) is not None},
        )

    async def _write(self, change: Change) -> None:
        live, wanted = change
        obj = wanted or live or {}
        reflector, meta = self._reflector(obj["kind"], obj["apiVersion"]), obj["metadata"]
        name = f"{meta['namespace']}/{meta['name']}"
        if wanted is None:
            uid = meta["uid"]
            if await self._client.delete(reflector.resource, meta["name"], meta["namespace"], uid=uid):
                log.info("removed", kind=reflector.resource.kind, name=name)
            return
        # What we have not made ourselves is not taken over: then the apiserver answers with a conflict.
        answer = await self._client.apply(reflector.resource, wanted, MANAGER, force=live is not None)
        reflector.learn(answer)
        log.info("written", kind=reflector.resource.kind, name=name)

    def _reflector(self, kind: str, api_version: str) -> Reflector[dict[str, Any]]:
        match kind:
            case "OverridePolicy":
                return self._inventory.overrides
            case "PropagationPolicy":
                return self._inventory.propagation
        return next(r for d, r in self._inventory.imports.items() if d.api_version == api_version)

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
                excluded={cluster: one.reason.value for cluster, one in derived.excluded.items()},
            )

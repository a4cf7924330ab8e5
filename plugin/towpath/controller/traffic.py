"""GlobalTrafficPolicies: judged, and sent where the service is imported if no policy of the user does."""

from __future__ import annotations

import time

from towpath.advise import advise_policy
from towpath.changes import Change
from towpath.controller.events import About, Events, news
from towpath.controller.inventory import Inventory
from towpath.controller.writing import Writer
from towpath.following import TRAFFIC, becoming, traffic_policy
from towpath.karmada.reflector import Name
from towpath.model.keys import ServiceKey
from towpath.model.world import AppliedPolicy
from towpath.rules import conditions
from towpath.sameness import is_needed
from towpath.status import stated


class Traffic:
    """The traffic policies of services."""

    def __init__(self, inventory: Inventory, writer: Writer, events: Events) -> None:
        self._inventory, self._writer, self._events = inventory, writer, events

    async def reconcile(self, key: ServiceKey) -> None:
        """Bring what belongs to a service's traffic policy to what it should be. Raises ApiError."""
        applied = self._inventory.world.policies.get(key)
        if applied is None:
            policies = self._inventory.traffic[key.dialect]
            self._writer.forget(policies.resource, Name(key.namespace, key.name))
            return
        await self._follow(applied)
        await self._judge(applied)

    async def _follow(self, applied: AppliedPolicy) -> None:
        world, propagation, key = self._inventory.world, self._inventory.propagation, applied.key
        live = propagation.get(f"{TRAFFIC}{key.name}", key.namespace)
        derived = traffic_policy(applied, world.derived(key, time.time()))
        wanted = becoming(live, derived, applied.uid, selected=applied.selected)
        if is_needed(live, wanted):
            await self._writer.change(propagation, Change(live, wanted))

    async def _judge(self, applied: AppliedPolicy) -> None:
        """Say on the policy what it can do, and what it does that nobody would think."""
        world, key, now = self._inventory.world, applied.key, time.time()
        policies, name = self._inventory.traffic[key.dialect], Name(key.namespace, key.name)
        stored = policies.get(key.name, key.namespace)
        if stored is None:
            return
        cautions = advise_policy(applied, world.services.get(key), world.derived(key, now), world.fleet)
        said = [conditions.accepted(cautions), conditions.resolved(cautions)]
        before = stored.status
        after = await self._writer.say(
            policies, name, before, lambda known: stated(said, stored.generation, known, now)
        )
        about = About(key.dialect.api_version, "GlobalTrafficPolicy", key.namespace, key.name, stored.uid)
        for one in news(before, after or {}):
            self._events.tell(about, one, now)

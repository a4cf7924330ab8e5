"""GlobalTrafficPolicies: judged, and sent where the service is imported if no policy of the user does."""

from __future__ import annotations

import math
import time
from functools import partial

from towpath.controller.events import About
from towpath.controller.followpolicy.act import Follower, Propagating
from towpath.controller.status_writer import Statuses
from towpath.controller.writer import Writer
from towpath.derivation.followpolicy import traffic_policy
from towpath.derivation.status import stated
from towpath.derivation.warnings import advise_policy
from towpath.inventory.inventory import Inventory
from towpath.karmada.reflector import Name
from towpath.model.keys import ServiceKey
from towpath.model.ownership import TRAFFIC_PREFIX
from towpath.model.world import AppliedPolicy
from towpath.rules import conditions


class Traffic:
    """The traffic policies of services."""

    def __init__(
        self, inventory: Inventory, writer: Writer, statuses: Statuses, propagating: Propagating
    ) -> None:
        self._inventory, self._writer, self._statuses = inventory, writer, statuses
        self._propagating = propagating

    async def reconcile(self, key: ServiceKey) -> float:
        """Bring what belongs to a service's traffic policy to what it should be. Raises ApiError.

        Returns when to look again (seconds since 1970).
        """
        applied = self._inventory.world.policies.get(key)
        policies, name = self._inventory.traffic[key.dialect], Name(key.namespace, key.name)
        stored = policies.get(key.name, key.namespace)
        if applied is None or stored is None:
            self._writer.forget(policies.resource, name)
            self._propagating.forget(policies, name)
            return math.inf
        follower = Follower(
            policies, name, applied.uid, f"{TRAFFIC_PREFIX}{key.name}", applied.selected, stored.claim
        )
        wanted = traffic_policy(applied, self._inventory.world.derived(key, time.time()))
        look_again = await self._propagating.follow(follower, wanted)
        await self._judge(applied)
        return look_again

    async def _judge(self, applied: AppliedPolicy) -> None:
        """Say on the policy what it can do, and what it does that nobody would think."""
        world, key, now = self._inventory.world, applied.key, time.time()
        policies = self._inventory.traffic[key.dialect]
        stored = policies.get(key.name, key.namespace)
        if stored is None:
            return
        cautions = advise_policy(applied, world.services.get(key), world.derived(key, now), world.fleet)
        said = [conditions.accepted(cautions), conditions.resolved(cautions)]
        make = partial(stated, said, stored.generation, now=now)
        about = About(key.dialect.api_version, "GlobalTrafficPolicy", key.namespace, key.name, stored.uid)
        await self._statuses.bring(policies, about, stored.status, make)

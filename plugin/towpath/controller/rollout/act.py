"""Whether imports arrive in the members, and helping along those that do not.

``convergence`` judges; what it asks for is done here: a touch of the template, which makes Karmada work
through its binding anew.
"""

from __future__ import annotations

import math
import time
from typing import NamedTuple

import structlog

from towpath.controller.rollout.decide import Convergence, behind
from towpath.controller.rollout.load import Underway
from towpath.controller.rollout.throttle import Telling
from towpath.controller.writer import Writer
from towpath.derivation.render import Rendered
from towpath.inventory.inventory import Inventory
from towpath.karmada.reflector import Name
from towpath.model.arrival import Arrival
from towpath.model.keys import ServiceKey
from towpath.model.ownership import import_policy_name
from towpath.propagation.claims import Claim, claim_of

log = structlog.get_logger()


class Arrived(NamedTuple):
    """What is known of the arrival, when to look again, and how many seconds it took if it has just ended.

    ``is_moving`` while it is too early to say anything of it.
    """

    arrival: Arrival
    look_again: float
    took: float | None = None
    is_moving: bool = False


def arrival_of(inventory: Inventory, key: ServiceKey, wanted: Rendered) -> Arrival:
    """Return what is known of how the imports of a service arrive."""
    held, claim = inventory.held(key), claimed_elsewhere(inventory, key)
    return Arrival(
        behind(wanted.digests, held.reported),
        inventory.lost,
        held.failed,
        told=inventory.reporting,
        taken_by=inventory.import_taken_by(key),
        claimed_by=str(claim or ""),
    )


def claimed_elsewhere(inventory: Inventory, key: ServiceKey) -> Claim | None:
    """Return the policy that has claimed an import in the place of ours."""
    template = inventory.imports[key.dialect].get(key.name, key.namespace)
    claim = claim_of(template["metadata"].get("annotations") or {}) if template else None
    ours = Claim("PropagationPolicy", key.namespace, import_policy_name(key))
    return None if claim == ours else claim


class Arriving:
    """The imports on their way."""

    def __init__(self, inventory: Inventory, writer: Writer) -> None:
        self._inventory, self._writer = inventory, writer
        self.underway = Underway()
        self.telling = Telling(self.underway)
        self.convergence = Convergence(self.underway, self.telling)

    async def look(self, key: ServiceKey, wanted: Rendered, since: float | None) -> Arrived:
        """Compare what members hold with what was derived for them, and do what helps. Raises ApiError.

        ``since`` is when the change was seen that made it necessary, None if that is not known.
        """
        inventory, now = self._inventory, time.time()
        arrival = arrival_of(inventory, key, wanted)
        claimed = bool(arrival.claimed_by) and wanted.service_import is not None
        held = inventory.held(key).reported
        seen = self.convergence.look(key, wanted.digests, held, inventory.lost, now, since, claimed=claimed)
        if not inventory.reporting and not claimed:
            return Arrived(arrival, math.inf)
        if seen.touch and not arrival.taken_by:
            template = Name(key.namespace, key.name)
            await self._writer.touch(inventory.imports[key.dialect], template, unclaim=claimed)
            log.warning("touched", service=str(key), behind=list(seen.behind), claimed=arrival.claimed_by)
        return Arrived(arrival, seen.look_again, seen.took, seen.is_moving)

    def is_everywhere(self, key: ServiceKey, wanted: Rendered) -> bool:
        """Tell whether every importer reports what is wanted; True where none ever reports anything."""
        inventory = self._inventory
        return not inventory.reporting or not behind(wanted.digests, inventory.held(key).reported)

    def forget(self, key: ServiceKey) -> None:
        """A service is gone."""
        self.convergence.forget(key)
        self.telling.forget(key)

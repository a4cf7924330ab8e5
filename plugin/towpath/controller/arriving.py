"""Whether imports arrive in the members, and helping along those that do not.

``convergence`` and ``disowned`` judge; what they ask for is done here: a touch of the template, which makes
Karmada work through its binding anew, and the removal of a binding that belongs to a former import.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import structlog

from towpath.controller.convergence import Convergence, behind
from towpath.controller.disowned import Cure, Disowned
from towpath.controller.inventory import Inventory
from towpath.controller.writing import Writer
from towpath.karmada.reflector import Name
from towpath.model.keys import ServiceKey
from towpath.propagation.claims import Claim, claim_of
from towpath.render import Rendered, policy_name
from towpath.status import Arrival

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
    ours = Claim("PropagationPolicy", key.namespace, policy_name(key))
    return None if claim == ours else claim


class Arriving:
    """The imports on their way."""

    def __init__(self, inventory: Inventory, writer: Writer) -> None:
        self._inventory, self._writer = inventory, writer
        self.convergence = Convergence()
        self._disowned = Disowned()

    async def look(self, key: ServiceKey, wanted: Rendered, since: float | None) -> Arrived:
        """Compare what members hold with what was derived for them, and do what helps. Raises ApiError.

        ``since`` is when the change was seen that made it necessary, None if that is not known.
        """
        inventory, now = self._inventory, time.time()
        arrival = arrival_of(inventory, key, wanted)
        claimed = bool(arrival.claimed_by) and wanted.service_import is not None
        held = inventory.held(key).reported
        seen = self.convergence.look(key, wanted.digests, held, inventory.lost, now, since, claimed=claimed)
        former = inventory.former(key)
        cure, look_again = self._disowned.look(key, former, now)
        if cure is not Cure.NOTHING and await self._binding_is_there(key, former):
            cure = Cure.NOTHING
        if not inventory.reporting and not claimed and cure is Cure.NOTHING:
            return Arrived(arrival, look_again)
        if cure is Cure.TOUCH:
            self._disowned.forget(key)
        if (seen.touch and not arrival.taken_by) or cure is Cure.TOUCH:
            template = Name(key.namespace, key.name)
            await self._writer.touch(inventory.imports[key.dialect], template, unclaim=claimed)
            log.warning("touched", service=str(key), behind=list(seen.behind), claimed=arrival.claimed_by)
        return Arrived(arrival, min(look_again, seen.look_again), seen.took, seen.is_moving)

    def is_everywhere(self, key: ServiceKey, wanted: Rendered) -> bool:
        """Tell whether every importer reports what is wanted; True where none ever reports anything."""
        inventory = self._inventory
        return not inventory.reporting or not behind(wanted.digests, inventory.held(key).reported)

    def forget(self, key: ServiceKey) -> None:
        """A service is gone."""
        self.convergence.forget(key)
        self._disowned.forget(key)

    async def _binding_is_there(self, key: ServiceKey, former: str) -> bool:
        """Tell whether a former import's binding is there still; delete it if it is that one's."""
        name = Name(key.namespace, f"{key.name}-serviceimport")
        binding = await self._writer.read_binding(name)
        if binding is None:
            return False
        if binding["spec"]["resource"]["uid"] == former:
            await self._writer.delete_binding(name, binding["metadata"]["uid"])
            log.warning("removed a binding", service=str(key), reason="its owner was made anew unseen")
            return True
        return "deletionTimestamp" in binding["metadata"]

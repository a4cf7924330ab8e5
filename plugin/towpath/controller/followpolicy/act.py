"""Derived propagation, live: a policy for what no policy of the user selects, and none for anything else."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import structlog

from towpath.controller.followpolicy.decide import Step, Stepping
from towpath.controller.rollout.load import Underway
from towpath.controller.writer import Writer
from towpath.derivation.drift import needs_apply
from towpath.derivation.followpolicy import becoming
from towpath.derivation.stages import Write
from towpath.inventory.inventory import Inventory
from towpath.karmada.client import Object
from towpath.karmada.reflector import Name, Reflector
from towpath.propagation.claims import Claim

log = structlog.get_logger()


class Follower(NamedTuple):
    """A template that may need a derived policy: where it is kept, and what is known of it.

    ``policy`` is the name of the derived one, ``claim`` says who has the template.
    """

    reflector: Reflector[Any]
    name: Name
    uid: str
    policy: str
    selected: bool
    claim: Claim | None


class Propagating:
    """Derived policies of exports and traffic policies."""

    def __init__(self, inventory: Inventory, writer: Writer, underway: Underway) -> None:
        self._inventory, self._writer, self._underway = inventory, writer, underway
        self._stepping = Stepping()

    async def follow(self, one: Follower, wanted: Object | None) -> float:
        """Bring a template's derived policy to what it should be. Raises ApiError.

        Returns when to look again (seconds since 1970).
        """
        policies, namespace, now = self._inventory.propagation, one.name.namespace, time.time()
        live = policies.get(one.policy, namespace)
        become = becoming(live, wanted, one.uid, selected=one.selected)
        ours = Claim("PropagationPolicy", namespace, one.policy)
        claimed = one.claim is not None and (one.claim != ours or live is not None)
        missing = live is None and become is not None
        which = (one.reflector.resource, one.name)
        pace = self._underway.pace
        step, look_again = self._stepping.look(
            which, selected=one.selected, missing=missing, claimed=claimed, now=now, pace=pace
        )
        if step is Step.TOUCH:
            await self._writer.touch(one.reflector, one.name, unclaim=True)
            log.warning("touched", template=f"{one.reflector.resource} {'/'.join(one.name)}")
        if needs_apply(live, become) and (not missing or step is Step.WRITE):
            await self._writer.change(policies, Write(live, become))
        return look_again

    def forget(self, reflector: Reflector[Any], name: Name) -> None:
        """A template is gone."""
        self._stepping.forget((reflector.resource, name))

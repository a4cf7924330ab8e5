"""The status of an export for Karmada, which asks as soon as a member has reported something.

It is what the controller would write with that report, by the same functions and from the same world, so it
does not matter which of the two writes first. Karmada writes the answer when it differs from what is stored,
and then asks again: so a condition that stays the same keeps its place and its times, also those of an answer
that is not stored yet.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from typing import Any

from towpath.controller.rollout.decide import arrival_of
from towpath.derivation.derive import Derived, derive_service
from towpath.derivation.render import Rendered, render
from towpath.derivation.status import Status, applied, export_status, keep_times
from towpath.inventory.inventory import Inventory
from towpath.inventory.snapshot import import_state
from towpath.karmada.decode import Copies
from towpath.model.keys import ServiceKey
from towpath.model.world import ExportedService
from towpath.rules.conditions import withheld

_MAX_STALE = 100
"""Remembered exports beyond twice the present ones, before those that are gone are forgotten."""


@dataclass(frozen=True)
class StatusQuestion:
    """An export as Karmada has it, and what it knows of its copies in the members."""

    key: ServiceKey
    uid: str
    generation: int
    status: Status
    copies: Copies


class Aggregation:
    """Answers from the inventory. ``withheld`` are the services whose import the deletion guard keeps."""

    def __init__(self, inventory: Inventory, withheld_: Container[ServiceKey]) -> None:
        self._inventory = inventory
        self._withheld = withheld_
        self._rendered: dict[str, tuple[Derived, Rendered]] = {}
        self._answered: dict[str, Status] = {}

    def status(self, asked: StatusQuestion, now: float) -> dict[str, Any] | None:
        """Return the whole status, None if nothing changes.

        None also for an export that is not known as it is asked about: deleted, or changed since.
        """
        key, inventory = asked.key, self._inventory
        stored = inventory.watched.exports[key.dialect].get(key.name, key.namespace)
        if stored is None or stored.deleting or inventory.world.services.get(key) is None:
            return None
        if (stored.uid, stored.generation) != (asked.uid, asked.generation):
            return None
        self._forget()
        service = inventory.exported(key, stored, asked.copies)
        derived = self._derived(service, now)
        wanted = self._wanted(service, derived)
        arrival = arrival_of(import_state(inventory, key), wanted.digests)
        status = export_status(derived, wanted, arrival, {}, generation=asked.generation, now=now)
        known, promised = (asked.status, stored.status), self._answered.get(asked.uid, {})
        self._answered[asked.uid] = timed = keep_times(status, known, promised)
        whole = applied(asked.status, timed)
        # The CRDs of ErieCanal and FSM have no offeredTo: what they drop is not sent again.
        kept = {name: value for name, value in whole.items() if name != "offeredTo" or name in asked.status}
        return None if kept == asked.status else whole

    def _derived(self, service: ExportedService, now: float) -> Derived:
        """Derive a service with what its members report. No claim depends on that."""
        world = self._inventory.world
        known = world.derived(service.key, now)
        if known is not None and service == world.services.get(service.key):
            return known
        return derive_service(service, world.fleet, world.lost(service.key), now)

    def _wanted(self, service: ExportedService, derived: Derived) -> Rendered:
        """Render, once for each derivation."""
        known, rendered = self._rendered.get(service.uid, (None, None))
        if rendered is None or known is not derived:
            made = render(service.key, service.uid, derived, overwrites=service.overwrites)
            # The objects are large: only what a status needs is kept.
            rendered = Rendered(refused=made.refused, digests=made.digests)
            self._rendered[service.uid] = (derived, rendered)
        return replace(rendered, refused=withheld()) if service.key in self._withheld else rendered

    def _forget(self) -> None:
        """Forget exports that no longer exist, from time to time."""
        services = self._inventory.world.services
        if len(self._answered) > _MAX_STALE + 2 * len(services):
            present = {service.uid for service in services.values()}
            self._answered = {uid: answer for uid, answer in self._answered.items() if uid in present}
            self._rendered = {uid: made for uid, made in self._rendered.items() if uid in present}

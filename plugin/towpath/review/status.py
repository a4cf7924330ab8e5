"""The status of an export, for Karmada, which asks as soon as a member has reported something.

What the controller would write if that were the newest: by the same functions, from the same world, so that
it does not matter which of the two writes first. Karmada writes the answer when it differs from what is
there, and then asks again: so what says the same keeps its place and its times, also those of an answer that
is still on its way to the store.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from typing import Any

from towpath.controller.rollout.act import arrival_of
from towpath.derivation.derive import Derived, derive_service
from towpath.derivation.render import Rendered, render
from towpath.derivation.status import Status, applied, export_status, keep_times
from towpath.inventory.inventory import Inventory
from towpath.model.keys import ServiceKey
from towpath.model.world import ExportedService
from towpath.rules.conditions import withheld

_SPARE = 100
"""Exports that are gone and remembered, before they are looked for."""


@dataclass(frozen=True)
class Asked:
    """An export as Karmada has it, and what it knows of its copies.

    ``refused`` is what each cluster says that does not find its copy valid.
    """

    key: ServiceKey
    uid: str
    generation: int
    status: Status
    refused: Mapping[str, str]


class Aggregation:
    """Answers from what the inventory holds. ``kept`` are the services whose import may not go now."""

    def __init__(self, inventory: Inventory, kept: Container[ServiceKey]) -> None:
        self._inventory = inventory
        self._kept = kept
        self._rendered: dict[str, tuple[Derived, Rendered]] = {}
        self._answered: dict[str, Status] = {}

    def status(self, asked: Asked, now: float) -> dict[str, Any] | None:
        """Return the whole status, None where nothing is to be changed.

        That is also so for an export that is not known as it is asked about: deleted, or changed since.
        """
        key, inventory = asked.key, self._inventory
        stored = inventory.exports[key.dialect].get(key.name, key.namespace)
        service = inventory.world.services.get(key)
        if stored is None or service is None:
            return None
        if (stored.uid, stored.generation) != (asked.uid, asked.generation):
            return None
        self._forget()
        derived = self._derived(service, asked.refused, now)
        wanted = self._wanted(service, derived)
        arrival = arrival_of(inventory, key, wanted)
        status = export_status(derived, wanted, arrival, {}, generation=asked.generation, now=now)
        known, promised = (asked.status, stored.status), self._answered.get(asked.uid, {})
        self._answered[asked.uid] = timed = keep_times(status, known, promised)
        whole = applied(asked.status, timed)
        # A CRD of ErieCanal's or FSM's own has no offeredTo: what it drops is not said again.
        kept = {name: value for name, value in whole.items() if name != "offeredTo" or name in asked.status}
        return None if kept == asked.status else whole

    def _derived(self, service: ExportedService, refused: Mapping[str, str], now: float) -> Derived:
        """Derive a service as it is if this is what clusters find wrong with it. No claim depends on that."""
        offers = {
            cluster: offer
            if offer.refused == refused.get(cluster)
            else replace(offer, refused=refused.get(cluster))
            for cluster, offer in service.offers.items()
        }
        world = self._inventory.world
        known = world.derived(service.key, now)
        if known is not None and offers == service.offers:
            return known
        return derive_service(replace(service, offers=offers), world.fleet, world.lost(service.key), now)

    def _wanted(self, service: ExportedService, derived: Derived) -> Rendered:
        """Render, once for each derivation."""
        known, rendered = self._rendered.get(service.uid, (None, None))
        if rendered is None or known is not derived:
            made = render(service.key, service.uid, derived, overwrites=service.overwrites)
            # Of large objects only what a status is made of is kept.
            rendered = Rendered(refused=made.refused, digests=made.digests)
            self._rendered[service.uid] = (derived, rendered)
        return replace(rendered, refused=withheld()) if service.key in self._kept else rendered

    def _forget(self) -> None:
        """Forget exports that are gone, now and then."""
        services = self._inventory.world.services
        if len(self._answered) > _SPARE + 2 * len(services):
            there = {service.uid for service in services.values()}
            self._answered = {uid: one for uid, one in self._answered.items() if uid in there}
            self._rendered = {uid: one for uid, one in self._rendered.items() if uid in there}

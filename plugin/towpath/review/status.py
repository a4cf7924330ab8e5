"""The status of an export for Karmada, which asks as soon as a member has reported something.

It is what the controller would write with that report, by the same functions and from the same world, so it
does not matter which of the two writes first. Karmada writes the answer when it differs from what is stored,
and then asks again: so a condition that stays the same keeps its place and its times, also those of an answer
that is not stored yet.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from towpath.controller.rollout.arrival import arrival_of
from towpath.derivation.derive import Derived, derive_service
from towpath.derivation.render import Rendered, render
from towpath.derivation.routes import Routes, routes_of
from towpath.derivation.status import FIELDS, Status, applied, export_status, keep_times
from towpath.inventory.inventory import Inventory
from towpath.inventory.snapshot import Reports
from towpath.inventory.take import import_state, in_use, route_states
from towpath.karmada import decode
from towpath.karmada.decode import Copies
from towpath.model.claim import ClaimRecord
from towpath.model.cluster import Fleet
from towpath.model.keys import ServiceKey
from towpath.model.world import ExportedService
from towpath.rules.conditions import is_transient, withheld
from towpath.rules.gateway_route import RouteKind
from towpath.rules.handover import handover

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
    """Answers from the inventory.

    ``withheld`` are the services whose import the deletion guard keeps, and ``early`` those of which the
    controller reports nothing yet: Karmada or the members have not got to them.
    """

    def __init__(
        self,
        inventory: Inventory,
        withheld_: Mapping[ServiceKey, str],
        early: Container[ServiceKey] = frozenset(),
    ) -> None:
        self._inventory = inventory
        self._withheld, self._early = withheld_, early
        self._rendered: dict[str, tuple[Derived, Rendered]] = {}
        self._routes: dict[str, tuple[Derived, Fleet, Routes]] = {}
        self._answered: dict[str, Status] = {}

    def status(self, asked: StatusQuestion, now: float) -> dict[str, Any] | None:
        """Return the whole status, None if nothing changes.

        None also for an export that is not known as it is asked about: deleted, or changed since. And while
        it is too early to say something, for the controller or for one that has no status yet.
        """
        key, inventory = asked.key, self._inventory
        stored = inventory.watched.exports[key.dialect].get(key.name, key.namespace)
        if stored is None or stored.deleting or inventory.world.services.get(key) is None:
            return None
        if (stored.uid, stored.generation) != (asked.uid, asked.generation) or key in self._early:
            return None
        self._forget()
        service = inventory.services.exported(key, stored, asked.copies)
        derived = self._derived(service, now)
        conditions = asked.status.get("conditions") or stored.status.get("conditions")
        if not conditions and is_transient(derived.conditions[0]):
            return None
        imports = import_state(inventory, key, now)
        wanted = self._wanted(service, derived, whole=bool(imports.overrides))
        fleet = inventory.world.fleet
        routes = self._routes_of(service, derived, fleet)
        states = route_states(inventory, key) if routes.specs else {}
        arrival = arrival_of(Reports(imports, states, asked.copies.unready), fleet, derived, wanted, routes)
        known, promised = (asked.status, stored.status), self._answered.get(asked.uid, {})
        recorded = [claim for status in (asked.status, promised) for claim in _claims_in(status)]
        claims = inventory.world.records(key, now, tuple(recorded))
        status = export_status(derived, wanted, arrival, claims, {}, generation=asked.generation, now=now)
        self._answered[asked.uid] = timed = keep_times(status, known, promised)
        whole = applied(asked.status, timed)
        # The CRDs of ErieCanal and FSM lack some fields: what they drop is not sent again.
        kept = {name: value for name, value in whole.items() if name not in FIELDS or name in asked.status}
        return None if kept == asked.status else whole

    def _derived(self, service: ExportedService, now: float) -> Derived:
        """Derive a service with what its members report. No claim depends on that."""
        world = self._inventory.world
        known = world.derived(service.key, now)
        if known is not None and service == world.services.get(service.key):
            return known
        return derive_service(service, world.fleet, world.lost(service.key), now)

    def _wanted(self, service: ExportedService, derived: Derived, *, whole: bool) -> Rendered:
        """Render, once for each derivation; ``whole`` with the objects, which few need."""
        known, rendered = self._rendered.get(service.uid, (None, None))
        if rendered is None or known is not derived or whole:
            made = render(service.key, service.uid, derived, handover=handover(service.annotations))
            # The objects are large: only what a status needs is kept.
            slim = Rendered(refused=made.refused, digests=made.digests)
            self._rendered[service.uid] = (derived, slim)
            rendered = made if whole else slim
        rendered = in_use(self._inventory, service.key).refuse(rendered)
        if (mostly := self._withheld.get(service.key)) is not None:
            return replace(rendered, refused=withheld(mostly))
        return rendered

    def _routes_of(self, service: ExportedService, derived: Derived, fleet: Fleet) -> Routes:
        """Return on which gateways routes should be, once for each derivation and state of the fleet."""
        known = self._routes.get(service.uid)
        if known is not None and known[0] is derived and known[1] is fleet:
            return known[2]
        whole = routes_of(service, derived, fleet)
        # As above: a status needs names alone.
        names: dict[RouteKind, dict[str, Any]] = {
            kind: {name: {} for name in specs} for kind, specs in whole.specs.items()
        }
        routes = replace(whole, specs=names)
        self._routes[service.uid] = derived, fleet, routes
        return routes

    def _forget(self) -> None:
        """Forget exports that no longer exist, from time to time."""
        services = self._inventory.world.services
        if len(self._answered) > _MAX_STALE + 2 * len(services):
            present = {service.uid for service in services.values()}
            self._answered = {uid: answer for uid, answer in self._answered.items() if uid in present}
            self._rendered = {uid: made for uid, made in self._rendered.items() if uid in present}
            self._routes = {uid: made for uid, made in self._routes.items() if uid in present}


def _claims_in(status: Status) -> tuple[ClaimRecord, ...]:
    return decode.claims_in(msgspec.json.encode(status)) or () if "claims" in status else ()

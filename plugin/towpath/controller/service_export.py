"""Bringing the objects of one service to what they should be, and saying on the export what came of it.

Derive, render, write what differs; then compare what the importing members report that they hold with what
was derived for them, and put it all into the export's status. The traffic policy of a service is looked at
with it (``traffic``).
"""

from __future__ import annotations

import asyncio
import math
import time
import zlib
from collections.abc import Callable, Container
from dataclasses import replace
from functools import partial
from typing import Any

import structlog

from towpath.controller.deletionguard.act import Withholding
from towpath.controller.deletionguard.decide import Verdict
from towpath.controller.events import NORMAL, WARNING, About, Events, News
from towpath.controller.followpolicy.act import Follower, Propagating
from towpath.controller.metrics import Metrics
from towpath.controller.orphanbinding.act import Adopting
from towpath.controller.rollout.act import Arriving
from towpath.controller.status_writer import Statuses
from towpath.controller.traffic_policy import Traffic
from towpath.controller.writer import Writer
from towpath.derivation.derive import Derived
from towpath.derivation.followpolicy import export_policy
from towpath.derivation.render import MOST_POLICIES, Rendered, render
from towpath.derivation.stages import Current, Write, is_foreign, stages
from towpath.derivation.status import export_status, offering, stated
from towpath.inventory.inventory import Due, Inventory
from towpath.karmada.client import Client
from towpath.karmada.decode import StoredExport
from towpath.karmada.reflector import Name, Reflector
from towpath.model.arrival import Arrival
from towpath.model.keys import GatewayKey, ServiceKey
from towpath.model.ownership import EXPORT_PREFIX, import_policy_name
from towpath.model.world import ExportedService
from towpath.rules import conditions

log = structlog.get_logger()
AUDIT = 900.0
"""Seconds after which a service is looked at though nothing has happened, and up to a third more."""


class Reconciler:
    """Writes what is derived. ``reconcile`` may run for several services at once."""

    def __init__(
        self,
        client: Client,
        inventory: Inventory,
        metrics: Metrics,
        *,
        is_idle: Callable[[], bool],
        may_write: Callable[[], bool],
    ) -> None:
        self._inventory = inventory
        self._metrics = metrics
        self._writer = Writer(client, metrics, may_write)
        self.arriving = Arriving(inventory, self._writer)
        self.events = Events(self._writer.send_event, lambda: self.arriving.underway.is_busy)
        self._propagating = Propagating(inventory, self._writer, self.arriving.underway)
        self._statuses = Statuses(self._writer, self.events)
        self._traffic = Traffic(inventory, self._writer, self._statuses, self._propagating)
        self._adopting = Adopting(inventory, self._writer)
        self._withholding = Withholding(inventory, metrics, is_idle)
        self._told: dict[ServiceKey, Derived] = {}
        self._withdrawing: dict[ServiceKey, bool] = {}

    @property
    def withheld(self) -> Container[ServiceKey]:
        """The services whose import is kept from going."""
        return self._withholding.services

    async def reconcile(self, due: Due) -> float | None:
        """Look at what is due and write what differs. Raises ApiError: try again later.

        Returns the time (seconds since 1970) at which it is due again though nothing has happened, None if
        never.
        """
        if isinstance(due, GatewayKey):
            await self._say_managed(due)
            return None
        if self._inventory.going.get(due.namespace):
            # Nothing can be made there, and what was on its way there must not count for ever.
            return None if due in self._inventory.world.services else self._gone(due)
        again = (
            await self._reconcile(due),
            await self._traffic.reconcile(due),
            await self._adopting.look(due),
        )
        return min((when for when in again if when is not None), default=None)

    async def _reconcile(self, key: ServiceKey) -> float | None:
        """Derive one service and write what differs.

        What a deleted export leaves is the garbage collector's: it owns everything derived from it.
        """
        service = self._inventory.world.services.get(key)
        derived = self._inventory.world.derived(key, time.time())
        if service is None or derived is None:
            return self._gone(key)
        live = self._live(key)
        wanted = render(key, service.uid, derived, overwrites=service.overwrites)
        verdict = self._withholding.judge(key, live, wanted)
        if verdict is not Verdict.GO:
            return await self._withhold(key, derived, wanted, verdict)
        if is_foreign(live.service_import):
            log.error("not written", service=str(key), reason="a ServiceImport of that name is not Towpath's")
        elif wanted.refused:
            log.error("not written", service=str(key), reason=wanted.refused.message)
        everywhere = self.arriving.is_everywhere(key, wanted)
        for stage in stages(live, wanted, export=service.uid, arrived=everywhere):
            await asyncio.gather(*(self._writer.change(self._reflector(change), change) for change in stage))
        self._tell(key, derived)
        arrived = await self.arriving.look(key, wanted, self._began(key, service))
        if arrived.took is not None:
            fewer = self._withdrawing.pop(key, False)
            (self._metrics.withdrawal if fewer else self._metrics.export_to_member).observe(arrived.took)
        tell_at = self._too_early(key, service)
        if not arrived.is_moving and tell_at == math.inf:
            await self._report(key, derived, wanted, arrived.arrival)
        if not arrived.is_moving:
            await self._say_offered(key, derived)
        follow_again = await self._follow(service)
        look_again = (derived.look_again, follow_again, arrived.look_again, tell_at)
        return min(*look_again, _audit(key))

    def _too_early(self, key: ServiceKey, service: ExportedService) -> float:
        """Return when to say what Karmada has yet to do for an export; infinity for now."""
        telling = self.arriving.telling
        if service.offers:
            telling.bound(key)
            return math.inf
        return telling.unbound(key, self._inventory.changed_at.get(key), time.time())

    def _began(self, key: ServiceKey, service: ExportedService) -> float | None:
        """Return when the change was seen that is worked on now, None if that is not known."""
        if not service.offers:
            return self._inventory.changed_at.get(key)  # it has only begun: Karmada has yet to bind it
        return self._inventory.changed_at.pop(key, None)

    def _gone(self, key: ServiceKey) -> float | None:
        """Forget an export that is gone; return when to look again, if at all."""
        imports = self._inventory.imports[key.dialect]
        for kept in (self._told, self._withdrawing, self._inventory.changed_at):
            kept.pop(key, None)
        for reflector in (self._inventory.exports[key.dialect], imports):
            self._writer.forget(reflector.resource, Name(key.namespace, key.name))
        self._propagating.forget(self._inventory.exports[key.dialect], Name(key.namespace, key.name))
        self.arriving.forget(key)
        return self._withholding.gone(key, imports.get(key.name, key.namespace))

    async def _withhold(self, key: ServiceKey, derived: Derived, wanted: Rendered, verdict: Verdict) -> float:
        """Leave everything as it is, and come back."""
        if verdict is Verdict.REFUSED:
            await self._report(key, derived, replace(wanted, refused=conditions.withheld()), Arrival())
        return self._withholding.look_again(verdict)

    def _live(self, key: ServiceKey) -> Current:
        inventory, name = self._inventory, import_policy_name(key)
        numbered = (import_policy_name(key, number) for number in range(MOST_POLICIES))
        return Current(
            inventory.imports[key.dialect].get(key.name, key.namespace),
            inventory.propagation.get(name, key.namespace),
            {n: obj for n in numbered if (obj := inventory.overrides.get(n, key.namespace)) is not None},
        )

    def _reflector(self, change: Write) -> Reflector[dict[str, Any]]:
        """Return where the object of a change is kept."""
        obj = change.wanted or change.live or {}
        match obj["kind"]:
            case "OverridePolicy":
                return self._inventory.overrides
            case "PropagationPolicy":
                return self._inventory.propagation
        imports = self._inventory.imports.items()
        return next(r for dialect, r in imports if dialect.api_version == obj["apiVersion"])

    async def _follow(self, service: ExportedService) -> float:
        """Let an export that no policy of the user selects go where its Service goes."""
        key, exports = service.key, self._inventory.exports[service.key.dialect]
        stored = exports.get(key.name, key.namespace)
        if stored is None or service.taken_by:
            return math.inf
        name, policy = Name(key.namespace, key.name), f"{EXPORT_PREFIX}{key.name}"
        follower = Follower(exports, name, service.uid, policy, service.selected, stored.claim)
        wanted = export_policy(service, self._inventory.world.fleet.members)
        return await self._propagating.follow(follower, wanted)

    async def _report(self, key: ServiceKey, derived: Derived, wanted: Rendered, arrival: Arrival) -> None:
        """Bring the export's status to what there is to say."""
        exports = self._inventory.exports[key.dialect]
        stored = exports.get(key.name, key.namespace)
        if stored is None:
            return
        make = partial(export_status, derived, wanted, arrival, generation=stored.generation, now=time.time())
        await self._statuses.bring(exports, _about(key, stored), stored.status, make)

    async def _say_offered(self, key: ServiceKey, derived: Derived) -> None:
        """Say on the import who exports it."""
        imports, name = self._inventory.imports[key.dialect], Name(key.namespace, key.name)
        template = imports.get(key.name, key.namespace)
        if template is None or is_foreign(template) or not derived.views:
            return
        status = offering(derived, self._inventory.world.fleet.members)
        await self._writer.say(imports, name, template.get("status") or {}, lambda _: status)

    async def _say_managed(self, key: GatewayKey) -> None:
        """Say on a flomesh Cluster whether it stands for a member."""
        clusters = self._inventory.members.flomesh_clusters[key.dialect]
        stored = clusters.get(key.name)
        if stored is None:
            self._writer.forget(clusters.resource, Name("", key.name))
            return
        said = conditions.managed(self._inventory.world.fleet.members.get(key.name))
        make = partial(stated, [said], stored.generation, now=time.time())
        about = About(key.dialect.api_version, "Cluster", "", key.name, stored.uid)
        await self._statuses.bring(clusters, about, stored.status, make)

    def _tell(self, key: ServiceKey, derived: Derived) -> None:
        """Tell who exports and imports a service, when that is news."""
        before = self._told.get(key)
        self._told[key] = derived
        if before is not None and _gist(before) == _gist(derived):
            return
        log.info(
            "derived",
            service=str(key),
            exporters=list(derived.exporters),
            importers=list(derived.views),
            excluded={cluster: one.reason.value for cluster, one in derived.excluded.items()},
        )
        stored = self._inventory.exports[key.dialect].get(key.name, key.namespace)
        if before is None or stored is None:
            return
        self._withdrawing[key] = not set(before.exporters) <= set(derived.exporters)
        for one in _moves(before, derived):
            self.events.tell(_about(key, stored), one, time.time())


def _about(key: ServiceKey, stored: StoredExport) -> About:
    return About(key.dialect.api_version, "ServiceExport", key.namespace, key.name, stored.uid)


def _gist(derived: Derived) -> object:
    return derived.exporters, tuple(derived.views), derived.excluded


def _moves(before: Derived, after: Derived) -> list[News]:
    """Return what there is to tell of clusters that export now, or no more."""
    lost = sorted(set(before.exporters) - set(after.exporters))
    gained = sorted(set(after.exporters) - set(before.exporters))
    return [
        *(
            News(WARNING, one.reason, f"Cluster {name} no longer exports the service. {one.text}")
            for name in lost
            if (one := after.excluded.get(name)) is not None
        ),
        *(News(NORMAL, "Exporting", f"Cluster {name} exports the service.") for name in gained),
    ]


def _audit(key: ServiceKey) -> float:
    """Return when to look at a service again in any case: not all of them at once."""
    spread = zlib.crc32(str(key).encode()) % 1000 / 3000
    return time.time() + AUDIT * (1 + spread)

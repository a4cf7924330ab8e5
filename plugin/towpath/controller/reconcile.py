"""Bringing the objects of one service to what they should be, and saying on the export what came of it.

Derive, render, write what differs; then compare what the importing members report that they hold with what
was derived for them, and put it all into the export's status.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import structlog

from towpath.changes import Change, Live, changes, is_foreign
from towpath.controller.convergence import Convergence, Seen
from towpath.controller.disowned import Cure, Disowned
from towpath.controller.guard import AGAIN, CONFIRMING, PAUSE, Guard, Relisting, Verdict
from towpath.controller.inventory import Inventory
from towpath.derive import Derived
from towpath.errors import ApiError, NotFound
from towpath.karmada.client import MERGE, Client, Resource
from towpath.karmada.reflector import Reflector
from towpath.karmada.resources import BINDINGS
from towpath.metrics import FailedWrite, Metrics, Refusal, Verb, Write
from towpath.model.condition import FALSE, READY, Condition
from towpath.model.keys import ServiceKey
from towpath.render import MOST_POLICIES, Rendered, policy_name, render
from towpath.rules.reasons import Stated
from towpath.sameness import MANAGER
from towpath.status import ready, says, wanted_status

log = structlog.get_logger()
TOUCHED = "towpath.io/touched"
"""Annotation on the template: when Karmada was last made to work through its binding anew."""
_TOUCHING = f"{MANAGER}-touch"
"""Field manager of that annotation: not the one that applies, which would take it away again."""


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
        self._client = client
        self._inventory = inventory
        self._metrics = metrics
        self._is_idle = is_idle
        self._may_write = may_write
        self._guard = Guard()
        self._relisting = Relisting()
        self._left_over: dict[ServiceKey, float] = {}
        self._disowned = Disowned()
        self.convergence = Convergence()
        self._told: dict[ServiceKey, tuple[tuple[str, ...], object, object]] = {}
        self._withdrawing: dict[ServiceKey, bool] = {}
        self._said: dict[ServiceKey, dict[str, Any]] = {}

    async def reconcile(self, key: ServiceKey) -> float | None:
        """Derive one service and write what differs. Raises ApiError: try again later.

        Returns the time (seconds since 1970) at which it is due again though nothing has happened, None if
        never. What a deleted export leaves is the garbage collector's: it owns everything derived from it.
        """
        service = self._inventory.world.services.get(key)
        derived = self._inventory.world.derived(key, time.time())
        if service is None or derived is None:
            for kept in (self._told, self._said, self._withdrawing):
                kept.pop(key, None)
            self._guard.settle(key)
            self._disowned.forget(key)
            self.convergence.forget(key)
            return self._look_for_export(key)
        live, wanted = self._live(key), render(key, service.uid, derived)
        verdict = self._ask(key, live, wanted)
        if verdict is not Verdict.GO:
            return await self._withhold(key, derived, wanted, verdict)
        self._settle(key)
        if is_foreign(live.service_import):
            log.error("not written", service=str(key), reason="a ServiceImport of that name is not Towpath's")
        elif wanted.refused:
            log.error("not written", service=str(key), reason=wanted.refused.message)
        for stage in changes(live, wanted):
            await asyncio.gather(*map(self._write, stage))
        self._tell(key, derived)
        seen = await self._converge(key, wanted)
        await self._report(key, derived, wanted, seen)
        return min(derived.look_again, seen.look_again)

    def _ask(self, key: ServiceKey, live: Live, wanted: Rendered) -> Verdict:
        """Ask the guard whether an import may go, if it should.

        After an empty list also whether it may change: events bring back a part of what was left out.
        """
        template, hollow = live.service_import, bool(self._inventory.hollow)
        stays = wanted.service_import is not None and not (hollow and any(changes(live, wanted)))
        if stays or wanted.refused or template is None or is_foreign(template):
            self._guard.settle(key)
            return Verdict.GO
        existing = sum(len(imports) for imports in self._inventory.imports.values())
        return self._guard.ask(key, existing, time.time(), idle=self._is_idle(), hollow=hollow)

    async def _withhold(self, key: ServiceKey, derived: Derived, wanted: Rendered, verdict: Verdict) -> float:
        """Leave everything as it is, and come back."""
        hollow = self._inventory.hollow
        if hollow or verdict is Verdict.REFUSED:
            self._list_again()
        if verdict is Verdict.WAIT:
            return time.time() + PAUSE
        self._metrics.guard_refusals[Refusal.EMPTY_LIST if hollow else Refusal.TOO_MANY].inc()
        log.error("withheld", service=str(key), reason=Stated.WITHHELD.text, empty=list(hollow))
        said = Condition(READY, FALSE, Stated.WITHHELD, f"{Stated.WITHHELD.text}.")
        await self._report(key, derived, replace(wanted, refused=said), Seen())
        return self._look_again

    def _look_for_export(self, key: ServiceKey) -> float | None:
        """Leave an import without export to the garbage collector; where none was listed, look again."""
        template = self._live(key).service_import
        unsure = self._inventory.exports[key.dialect].found_nothing
        if template is None or is_foreign(template) or not unsure:
            self._settle(key)
            return None
        now = time.time()
        since = self._left_over.setdefault(key, now)
        if now < since + CONFIRMING:
            return since + CONFIRMING
        self._metrics.guard_refusals[Refusal.UNKNOWN_EXPORT].inc()
        log.warning("left alone", service=str(key), reason="its import stands, but no export was listed")
        self._list_again()
        return self._look_again

    def _settle(self, key: ServiceKey) -> None:
        self._left_over.pop(key, None)
        if not self._left_over and not self._guard.is_asked:
            self._relisting.calm()

    @property
    def _look_again(self) -> float:
        """When to look again at what was withheld."""
        return min(time.time() + AGAIN, self._relisting.due)

    def _list_again(self) -> None:
        if self._relisting.is_due(time.time()):
            log.warning("listing everything again")
            self._inventory.relist()

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
            uid = meta.get("uid", "")  # one that we have just made is known without
            with self._counted(reflector.resource, Verb.DELETE):
                gone = await self._client.delete(reflector.resource, meta["name"], meta["namespace"], uid=uid)
            if gone:
                log.info("removed", kind=reflector.resource.kind, name=name)
            return
        with self._counted(reflector.resource, Verb.APPLY):
            # What we have not made ourselves is not taken over: the apiserver then answers with a conflict.
            answer = await self._client.apply(reflector.resource, wanted, MANAGER, force=live is not None)
        reflector.learn(answer)
        log.info("written", kind=reflector.resource.kind, name=name)

    @contextmanager
    def _counted(self, resource: Resource, verb: Verb) -> Iterator[None]:
        """Count the write in the block. Raises ApiError if it is not for this process to write any more."""
        if not self._may_write():
            raise ApiError(f"{verb.value} of {resource.kind}: another process leads")
        try:
            yield
        except ApiError as error:
            self._metrics.write_failures[FailedWrite(resource.kind, verb, type(error).__name__)].inc()
            raise
        self._metrics.writes[Write(resource.kind, verb)].inc()

    def _reflector(self, kind: str, api_version: str) -> Reflector[dict[str, Any]]:
        match kind:
            case "OverridePolicy":
                return self._inventory.overrides
            case "PropagationPolicy":
                return self._inventory.propagation
        return next(r for d, r in self._inventory.imports.items() if d.api_version == api_version)

    async def _converge(self, key: ServiceKey, wanted: Rendered) -> Seen:
        """Look who holds what was derived, and touch the template for those that stay behind."""
        inventory = self._inventory
        seen = self.convergence.look(key, wanted.digests, inventory.held(key), inventory.lost, time.time())
        former = inventory.former(key)
        cure, look_again = self._disowned.look(key, former, time.time())
        if cure is not Cure.NOTHING and await self._binding_is_there(key, former):
            cure = Cure.NOTHING
        if not inventory.reporting:
            return Seen(seen.behind, look_again=look_again)
        seen = seen._replace(
            touch=seen.touch or cure is Cure.TOUCH, look_again=min(seen.look_again, look_again)
        )
        if seen.took is not None:
            fewer = self._withdrawing.pop(key, False)
            (self._metrics.withdrawal if fewer else self._metrics.export_to_member).observe(seen.took)
        if cure is Cure.TOUCH:
            self._disowned.forget(key)
        if seen.touch:
            imports = inventory.imports[key.dialect]
            stamp: Mapping[str, Any] = {"metadata": {"annotations": {TOUCHED: f"{time.time():.3f}"}}}
            path = imports.resource.path(key.namespace, key.name)
            query = [("fieldManager", _TOUCHING)]
            with self._counted(imports.resource, Verb.TOUCH):
                answer = await self._client.request(
                    "PATCH", path, query=query, body=stamp, content_type=MERGE
                )
            imports.learn(answer)
            log.warning("touched", service=str(key), behind=list(seen.behind))
        return seen

    async def _binding_is_there(self, key: ServiceKey, former: str) -> bool:
        """Tell whether a former import's binding is there still; delete it if it is that one's."""
        name = f"{key.name}-serviceimport"
        try:
            binding = await self._client.get(BINDINGS, name, key.namespace)
        except NotFound:
            return False
        if binding["spec"]["resource"]["uid"] == former:
            with self._counted(BINDINGS, Verb.DELETE):
                await self._client.delete(BINDINGS, name, key.namespace, uid=binding["metadata"]["uid"])
            log.warning("removed a binding", service=str(key), reason="its owner was made anew unseen")
            return True
        return "deletionTimestamp" in binding["metadata"]

    async def _report(self, key: ServiceKey, derived: Derived, wanted: Rendered, seen: Seen) -> None:
        """Bring the export's status to what there is to say."""
        exports = self._inventory.exports[key.dialect]
        stored = exports.get(key.name, key.namespace)
        if stored is None:
            return
        said: Condition = wanted.refused or ready(
            sorted(wanted.digests), seen.behind, sorted(self._inventory.lost), told=self._inventory.reporting
        )
        status = wanted_status(
            (*derived.conditions, said), sorted(derived.views), stored.generation, stored.status, time.time()
        )
        if says(stored.status, status) or (
            # A CRD of ErieCanal's or FSM's own has no offeredTo: what it drops is not written again.
            self._said.get(key) == status
            and says({**stored.status, "offeredTo": status["offeredTo"]}, status)
        ):
            return
        resource = exports.resource
        export = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"name": key.name, "namespace": key.namespace},
            "status": status,
        }
        with self._counted(resource, Verb.STATUS):
            answer = await self._client.apply(resource, export, MANAGER, subresource="status")
        exports.learn(answer)
        self._said[key] = status

    def _tell(self, key: ServiceKey, derived: Derived) -> None:
        """Log who exports and imports a service, when that is news."""
        news = (derived.exporters, tuple(derived.views), tuple(derived.excluded.items()))
        before = self._told.get(key)
        if before != news:
            self._told[key] = news
            if before is not None:
                self._withdrawing[key] = not set(before[0]) <= set(derived.exporters)
            log.info(
                "derived",
                service=str(key),
                exporters=list(derived.exporters),
                importers=list(derived.views),
                excluded={cluster: one.reason.value for cluster, one in derived.excluded.items()},
            )

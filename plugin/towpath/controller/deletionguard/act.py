"""Keeping imports that should go for a reason that may be none: the guard's judgement put into practice.

What is withheld stays as it is, is counted and told, and all that a derivation rests upon is listed anew in
case a list was wrong. An import whose export is unknown is left to the garbage collector in any case; where
no export at all is listed that is looked at again as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from towpath.controller.deletionguard.decide import AGAIN, CONFIRMING, PAUSE, Guard, Relisting, Verdict
from towpath.controller.metrics import Metrics, Refusal
from towpath.derivation.render import Rendered
from towpath.derivation.stages import Current, is_foreign, stages
from towpath.inventory.inventory import Inventory
from towpath.model.keys import ServiceKey
from towpath.rules.reasons import ConditionReason

log = structlog.get_logger()


class Withholding:
    """Says what may go. ``services`` are those whose import is kept from going."""

    def __init__(self, inventory: Inventory, metrics: Metrics, is_idle: Callable[[], bool]) -> None:
        self._inventory, self._metrics, self._is_idle = inventory, metrics, is_idle
        self._guard = Guard()
        self._relisting = Relisting()
        self._left_over: dict[ServiceKey, float] = {}
        self.services: set[ServiceKey] = set()

    def judge(self, key: ServiceKey, live: Current, wanted: Rendered) -> Verdict:
        """Tell whether an import may go, if it should; one that need not may anyway.

        After an empty list also whether it may change: events bring back a part of what was left out.
        """
        template, hollow = live.service_import, self._inventory.hollow
        stays = wanted.service_import is not None and not (hollow and any(stages(live, wanted)))
        if stays or wanted.refused or template is None or is_foreign(template):
            verdict = Verdict.GO
            self._guard.settle(key)
        else:
            existing = sum(len(imports) for imports in self._inventory.imports.values())
            verdict = self._guard.ask(key, existing, time.time(), idle=self._is_idle(), hollow=bool(hollow))
        if verdict is Verdict.GO:
            self._settle(key)
        elif hollow or verdict is Verdict.REFUSED:
            self._list_again()
        if verdict is Verdict.REFUSED:
            self._metrics.guard_refusals[Refusal.EMPTY_LIST if hollow else Refusal.TOO_MANY].inc()
            log.error("withheld", service=str(key), reason=ConditionReason.WITHHELD.text, empty=list(hollow))
            self.services.add(key)
        return verdict

    def look_again(self, verdict: Verdict) -> float:
        """Return when (seconds since 1970) to ask again after a verdict."""
        now = time.time()
        return now + PAUSE if verdict is Verdict.WAIT else min(now + AGAIN, self._relisting.due)

    def gone(self, key: ServiceKey, template: Mapping[str, Any] | None) -> float | None:
        """An export is not there, this is the import of its name; return when to look again, if at all."""
        self._guard.settle(key)
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
        return self.look_again(Verdict.REFUSED)

    def _settle(self, key: ServiceKey) -> None:
        self.services.discard(key)
        self._left_over.pop(key, None)
        if not self._left_over and not self._guard.is_asked:
            self._relisting.calm()

    def _list_again(self) -> None:
        if self._relisting.is_due(time.time()):
            log.warning("listing everything again")
            self._inventory.relist()

"""What the data path states on the member's own objects, so that Karmada reflects it: pure.

A ServiceExport says whether a pod of its Service is ready, and a ServiceImport which exporting clusters have
a gateway that does not answer from here. A statement only tells: Envoy finds its way by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from towpath.datapath.derive import Derived
from towpath.datapath.ingress import ready_addresses
from towpath.datapath.problem import EXPORT, IMPORT
from towpath.datapath.world import ServiceName
from towpath.model.condition import FALSE, SERVING, TRUE
from towpath.model.keys import ServiceKey
from towpath.model.times import rfc3339
from towpath.rules.reasons import CallReason, ConditionReason

HOLD_SECONDS = 8.0
"""How long something holds before it is stated: longer than a pod or a gateway takes to be replaced."""


class About(NamedTuple):
    """The object of a statement: a ServiceExport or a ServiceImport."""

    kind: str
    key: ServiceKey


Since = Mapping[str, str]
"""The keys of clusters, each with since when (RFC 3339) its gateway does not answer."""
Held = bool | Since
"""What a status says: of a ServiceExport whether a pod is ready, of a ServiceImport who does not answer."""
Statement = bool | frozenset[str]
"""The same without times."""
_NOBODY: frozenset[str] = frozenset()
NOTHING_HELD: Mapping[str, Statement] = {EXPORT: True, IMPORT: _NOBODY}
"""What a status says that says nothing, by kind."""


def statements(
    derived: Derived, unanswered: Mapping[ServiceName, frozenset[str]] | None
) -> dict[About, Statement]:
    """Return what is to be stated. ``unanswered`` are the clusters behind each imported Service whose
    gateway fails Envoy's health checks, None while that is not known."""
    found: dict[About, Statement] = {}
    for key, (asked, _) in derived.exports.items():
        ports = [port for port in asked.service.ports if port.protocol == "TCP"] if asked.service else ()
        is_ready = not ports or any(ready_addresses(asked.slices, port) for port in ports)
        found[About(EXPORT, key)] = is_ready
    if unanswered is None:
        return found
    for key, (wanted, _) in derived.imports.items():
        silent = unanswered.get(ServiceName(key.namespace, key.name), _NOBODY)
        endpoints = (endpoint for port in wanted.imported.view.ports for endpoint in port.endpoints)
        found[About(IMPORT, key)] = frozenset(e.cluster_key for e in endpoints if e.cluster_key in silent)
    return found


class Settling:
    """Lets a statement pass once it has been the same for a while: what flaps is not stated."""

    def __init__(self) -> None:
        self._seen: dict[About, tuple[Statement, float]] = {}

    def settled(self, seen: Mapping[About, Statement], now: float) -> dict[About, Statement]:
        """Return the statements that hold. ``now`` never goes back."""
        before = self._seen
        self._seen = {
            about: known if (known := before.get(about)) and known[0] == statement else (statement, now)
            for about, statement in seen.items()
        }
        return {about: held for about, (held, since) in self._seen.items() if now - since >= HOLD_SECONDS}


def says(held: Held | None, about: About, statement: Statement) -> bool:
    """Tell whether a status says so already."""
    if held is None:
        return statement == NOTHING_HELD[about.kind]
    return statement == (held if isinstance(held, bool) else frozenset(held))


def status_of(statement: Statement, held: Held | None, now: float) -> dict[str, Any]:
    """Return the status that says so. ``now`` is in seconds since 1970, and what was held keeps its time."""
    stamp = rfc3339(now)
    if isinstance(statement, bool):
        reason = ConditionReason.SERVING if statement else CallReason.NO_READY_POD
        condition = {
            "type": SERVING,
            "status": TRUE if statement else FALSE,
            "reason": reason.value,
            "message": reason.text,
            "lastTransitionTime": stamp,
        }
        return {"conditions": [condition]}
    before = held if isinstance(held, Mapping) else {}
    return {"unanswered": [{"clusterKey": key, "since": before.get(key, stamp)} for key in sorted(statement)]}

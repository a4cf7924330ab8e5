"""The status of a ServiceExport: what it should say, and whether what it says has to be written.

Conditions keep the time of their last change of status, and nothing is written when nothing changed. What
others have put there (an ErieCanal control plane's conditions, say) stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from towpath.model.condition import FALSE, READY, TRUE, UNKNOWN, Condition
from towpath.rules.reasons import Stated

Status = Mapping[str, Any]
_NAMED = 10


def ready(importers: Sequence[str], behind: Sequence[str], lost: Sequence[str], *, told: bool) -> Condition:
    """Return whether the importers hold what was derived. ``told``: members report what they hold at all."""
    if not importers:
        return Condition(READY, FALSE, Stated.NOT_IMPORTED, f"{_sentence(Stated.NOT_IMPORTED)}.")
    if not told:
        return Condition(READY, UNKNOWN, Stated.NOT_REPORTED, f"{_sentence(Stated.NOT_REPORTED)}.")
    have = f"{len(importers) - len(behind)} of {len(importers)} importing clusters have it"
    if not behind:
        return Condition(READY, TRUE, Stated.EXPORTED, f"{have}.")
    waiting = f"{have}; waiting for {_several(behind)}"
    if set(behind) <= set(lost):
        return Condition(READY, FALSE, Stated.CLUSTER_LOST, f"{waiting}: {Stated.CLUSTER_LOST.text}.")
    return Condition(READY, FALSE, Stated.PENDING, f"{waiting}.")


def wanted_status(
    conditions: Sequence[Condition], offered_to: Sequence[str], generation: int, before: Status, now: float
) -> dict[str, Any]:
    """Return what the status should say. ``before`` is what it says, ``now`` in seconds since 1970."""
    known = {c["type"]: c for c in before.get("conditions") or ()}
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "conditions": [_dumped(c, generation, known.get(c.type, {}), stamp) for c in conditions],
        "offeredTo": list(offered_to),
    }


def says(before: Status, wanted: Status) -> bool:
    """Tell whether a status says already what is wanted."""
    known = {c["type"]: c for c in before.get("conditions") or ()}
    same = all(known.get(c["type"]) == c for c in wanted["conditions"])
    return same and list(before.get("offeredTo") or ()) == wanted["offeredTo"]


def _dumped(c: Condition, generation: int, before: Mapping[str, Any], stamp: str) -> dict[str, Any]:
    changed = before.get("status") != c.status
    return {
        "type": c.type,
        "status": c.status,
        "reason": str(c.reason),
        "message": c.message,
        "observedGeneration": generation,
        "lastTransitionTime": stamp if changed else before["lastTransitionTime"],
    }


def _several(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _sentence(stated: Stated) -> str:
    return stated.text[:1].upper() + stated.text[1:]

"""The status of a ServiceExport: what it should say, and whether what it says has to be written.

Conditions keep the time of their last change of status, and nothing is written when nothing changed. What
others have put there (an ErieCanal control plane's conditions, say) stays.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from towpath.derive import Derived
from towpath.model.condition import CONFLICT, FALSE, READY, TRUE, UNKNOWN, VALID, Condition
from towpath.render import Rendered
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


def export_status(
    derived: Derived,
    wanted: Rendered,
    behind: Sequence[str],
    lost: Collection[str],
    *,
    told: bool,
    generation: int,
    before: Status,
    now: float,
) -> dict[str, Any]:
    """Return what the status of an export should say, for the controller and for whoever else is asked.

    ``behind`` are the importers that do not hold what is wanted.
    """
    said = wanted.refused or ready(sorted(wanted.digests), behind, sorted(lost), told=told)
    return wanted_status((*derived.conditions, said), sorted(derived.views), generation, before, now)


def withheld() -> Condition:
    """Return what is said instead of being ready when the guard keeps an import from going."""
    return Condition(READY, FALSE, Stated.WITHHELD, f"{Stated.WITHHELD.text}.")


def says(before: Status, wanted: Status) -> bool:
    """Tell whether a status says already what is wanted."""
    known = {c["type"]: c for c in before.get("conditions") or ()}
    same = all(known.get(c["type"]) == c for c in wanted["conditions"])
    return same and list(before.get("offeredTo") or ()) == wanted["offeredTo"]


def applied(before: Status, wanted: Status) -> dict[str, Any]:
    """Return what is there once ``wanted`` has been applied: what others have put there stays, and in place.

    What says the same already stays as it is.
    """
    ours = {c["type"]: c for c in wanted["conditions"]}
    there = list(before.get("conditions") or ())
    known = {c.get("type") for c in there}
    status = {**before, "conditions": [ours.get(c.get("type"), c) for c in there]}
    status["conditions"] += [c for kind, c in ours.items() if kind not in known]
    if list(before.get("offeredTo") or ()) != wanted["offeredTo"]:
        status["offeredTo"] = wanted["offeredTo"]
    return status


def keep_times(wanted: Status, there: Status, *others: Status) -> dict[str, Any]:
    """Return what is wanted, with the times that conditions which say the same have already.

    That is there, or in others unless it has changed there since.
    """
    changed = {c.get("type"): c.get("lastTransitionTime", "") for c in there.get("conditions") or ()}
    since: dict[tuple[object, object], str] = {}
    for c in (c for status in (there, *others) for c in status.get("conditions") or ()):
        when = c.get("lastTransitionTime", "")
        if when >= changed.get(c.get("type"), ""):  # RFC 3339 in UTC sorts as text
            since.setdefault((c.get("type"), c.get("status")), when)
    conditions = [
        {**c, "lastTransitionTime": since.get((c["type"], c["status"]), c["lastTransitionTime"])}
        for c in wanted["conditions"]
    ]
    return {**wanted, "conditions": conditions}


def why_unhealthy(status: Status) -> str:
    """Return what a member finds wrong with its copy of an export, empty if nothing."""
    wrong = ((VALID, FALSE), (CONFLICT, TRUE))
    return " ".join(
        f"{c['type']}={c['status']}: {c.get('message') or c.get('reason') or 'without a reason'}"
        for c in status.get("conditions") or ()
        if (c.get("type"), c.get("status")) in wrong
    )


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

"""The status of objects: what it should say, and whether what it says has to be written.

Conditions keep the time of their last change of status, and nothing is written when nothing changed. What
others have put there (an ErieCanal control plane's conditions, say) stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from towpath.derivation.derive import Derived
from towpath.derivation.render import Rendered
from towpath.model.arrival import Arrival
from towpath.model.claim import ClaimRecord
from towpath.model.condition import EXPORT_CONDITIONS, TRUE, VALID, Condition
from towpath.model.times import rfc3339
from towpath.rules.conditions import ready

Status = Mapping[str, Any]
FIELDS = ("offeredTo", "claims")
"""What Towpath writes into an export's status besides conditions. The CRDs of ErieCanal and FSM lack both."""


def export_status(
    derived: Derived,
    wanted: Rendered,
    arrival: Arrival,
    claims: Sequence[ClaimRecord],
    before: Status,
    *,
    generation: int,
    now: float,
) -> dict[str, Any]:
    """Return what an export's status should say.

    ``claims`` are what it should record, ``generation`` is the export's, ``before`` what its status says,
    ``now`` in seconds since 1970.
    """
    arrived = wanted.refused or ready(sorted(wanted.digests), arrival)
    says = wanted_status((*derived.conditions, arrived), sorted(derived.views), generation, before, now)
    return {**says, "claims": [_recorded(claim) for claim in claims]}


def recording(claims: Sequence[ClaimRecord], before: Status) -> dict[str, Any]:
    """Return what an export's status should say where it is to record claims, and nothing else is known."""
    own = [c for c in before.get("conditions") or () if c.get("type") in EXPORT_CONDITIONS]
    return {
        **({"conditions": own} if own else {}),
        "offeredTo": list(before.get("offeredTo") or ()),
        "claims": [_recorded(claim) for claim in claims],
    }


def _recorded(claim: ClaimRecord) -> dict[str, Any]:
    path, kind, since, clusters = claim
    return {"path": path, "pathType": kind, "since": since, "clusters": list(clusters)}


def wanted_status(
    conditions: Sequence[Condition], offered_to: Sequence[str], generation: int, before: Status, now: float
) -> dict[str, Any]:
    """Return what an export's status should say. ``before``: what it says, ``now``: seconds since 1970."""
    return {**stated(conditions, generation, before, now), "offeredTo": list(offered_to)}


def stated(
    conditions: Sequence[Condition], generation: int, before: Status, now: float
) -> dict[str, list[dict[str, Any]]]:
    """Return conditions as a status has them, each with the time of its last change."""
    known = {c["type"]: c for c in before.get("conditions") or ()}
    stamp = rfc3339(now)
    return {"conditions": [_dumped(c, generation, known.get(c.type, {}), stamp) for c in conditions]}


def was_valid(status: Status) -> bool:
    """Tell whether the status of an export has Valid=True."""
    conditions = status.get("conditions") or ()
    return any(c.get("type") == VALID and c.get("status") == TRUE for c in conditions)


def says(before: Status, wanted: Status) -> bool:
    """Tell whether a status says already what is wanted; others may have put more there."""
    known = {c["type"]: c for c in before.get("conditions") or ()}
    return all(
        all(known.get(c["type"]) == c for c in value)
        if name == "conditions"
        else (before.get(name) or type(value)()) == value
        for name, value in wanted.items()
    )


def applied(before: Status, wanted: Status) -> dict[str, Any]:
    """Return what is there once ``wanted`` has been applied: what others have put there stays, and in place.

    What says the same already stays as it is.
    """
    ours = {c["type"]: c for c in wanted["conditions"]}
    there = list(before.get("conditions") or ())
    known = {c.get("type") for c in there}
    status = {**before, "conditions": [ours.get(c.get("type"), c) for c in there]}
    status["conditions"] += [c for kind, c in ours.items() if kind not in known]
    status |= {field: wanted[field] for field in FIELDS if before.get(field) != wanted[field]}
    return status


def keep_times(wanted: Status, known: Sequence[Status], promised: Status) -> dict[str, Any]:
    """Return what is wanted, with the times that conditions which say the same have already.

    Of several ``known`` that say the same the latest is right. Where none does, ``promised`` is what has been
    wanted before and may be on its way; but what has changed since is no promise any more.
    """
    conditions = [c for status in known for c in status.get("conditions") or ()]
    since: dict[object, str] = {}
    changed: dict[object, str] = {}
    for c in conditions:  # RFC 3339 in UTC sorts as text
        kind, which, when = c.get("type"), (c.get("type"), c.get("status")), c.get("lastTransitionTime", "")
        since[which] = max(when, since.get(which, ""))
        changed[kind] = max(when, changed.get(kind, ""))
    for c in promised.get("conditions") or ():
        if c["lastTransitionTime"] >= changed.get(c["type"], ""):
            since.setdefault((c["type"], c["status"]), c["lastTransitionTime"])
    timed = [
        {**c, "lastTransitionTime": since.get((c["type"], c["status"]), c["lastTransitionTime"])}
        for c in wanted["conditions"]
    ]
    return {**wanted, "conditions": timed}


def _dumped(c: Condition, generation: int, before: Mapping[str, Any], stamp: str) -> dict[str, Any]:
    changed = before.get("status") != c.status
    return {
        "type": c.type,
        "status": c.status,
        "reason": str(c.reason),
        "message": c.message,
        "observedGeneration": generation,
        "lastTransitionTime": stamp if changed else before.get("lastTransitionTime", stamp),
    }

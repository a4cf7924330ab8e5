"""The status of objects: what it should say, and whether what it says has to be written.

Conditions keep the time of their last change of status, and nothing is written when nothing changed. What
others have put there (an ErieCanal control plane's conditions, say) stays.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from towpath.derivation.derive import Derived
from towpath.derivation.render import Rendered
from towpath.model.cluster import Member
from towpath.model.condition import FALSE, READY, TRUE, UNKNOWN, Condition
from towpath.rules.reasons import ConditionReason
from towpath.text import several

Status = Mapping[str, Any]
_NAMED, _QUOTED = 10, 300
_EXISTS = "already exists"
"""What Karmada says of an object that it has not made (execution_controller.go)."""


@dataclass(frozen=True)
class Arrival:
    """What is known of how the imports of one service arrive in the members.

    ``behind`` are the importers that do not report the view derived for them, ``lost`` the members that
    Karmada cannot reach, and ``failed`` what it says of those that it cannot write to. ``told``: members
    report what they hold at all. ``taken_by`` is the API version of an import whose binding has the name of
    this one's, and ``claimed_by`` a policy that has claimed the import in place of ours.
    """

    behind: Collection[str] = ()
    lost: Collection[str] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    told: bool = True
    taken_by: str = ""
    claimed_by: str = ""


def ready(importers: Sequence[str], arrival: Arrival) -> Condition:
    """Return whether the importers hold what was derived, and if not, what is in the way."""
    behind = sorted(arrival.behind)
    if not importers:
        return Condition(
            READY, FALSE, ConditionReason.NOT_IMPORTED, f"{_sentence(ConditionReason.NOT_IMPORTED)}."
        )
    if arrival.taken_by:
        said = f"The name belongs to {arrival.taken_by}: {ConditionReason.IMPORT_NAME_TAKEN.text}."
        return Condition(READY, FALSE, ConditionReason.IMPORT_NAME_TAKEN, said)
    if arrival.claimed_by:
        said = f"{arrival.claimed_by}: {ConditionReason.CLAIMED_ELSEWHERE.text}."
        return Condition(READY, FALSE, ConditionReason.CLAIMED_ELSEWHERE, said)
    if not arrival.told:
        return Condition(
            READY, UNKNOWN, ConditionReason.NOT_REPORTED, f"{_sentence(ConditionReason.NOT_REPORTED)}."
        )
    have = f"{len(importers) - len(behind)} of {len(importers)} importing clusters have it"
    if not behind:
        return Condition(READY, TRUE, ConditionReason.EXPORTED, f"{have}.")
    waiting = f"{have}; waiting for {several(behind, _NAMED)}"
    if failed := {name: arrival.failed[name] for name in behind if name in arrival.failed}:
        return _not_applied(have, failed)
    if set(behind) <= set(arrival.lost):
        return Condition(
            READY, FALSE, ConditionReason.CLUSTER_LOST, f"{waiting}: {ConditionReason.CLUSTER_LOST.text}."
        )
    return Condition(READY, FALSE, ConditionReason.PENDING, f"{waiting}.")


def _not_applied(have: str, failed: Mapping[str, str]) -> Condition:
    left = [name for name, why in failed.items() if _EXISTS in why]
    if left:
        said = f"{have}; in {several(left, _NAMED)} {ConditionReason.LEFT_IN_MEMBER.text}."
        return Condition(READY, FALSE, ConditionReason.LEFT_IN_MEMBER, said)
    name, why = next(iter(failed.items()))
    more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
    said = f"{have}; {ConditionReason.NOT_APPLIED.text}: {name}{more}: {why[:_QUOTED]}"
    return Condition(READY, FALSE, ConditionReason.NOT_APPLIED, said)


def export_status(
    derived: Derived, wanted: Rendered, arrival: Arrival, before: Status, *, generation: int, now: float
) -> dict[str, Any]:
    """Return what an export's status should say.

    ``generation`` is the export's, ``before`` what its status says, ``now`` in seconds since 1970.
    """
    arrived = wanted.refused or ready(sorted(wanted.digests), arrival)
    return wanted_status((*derived.conditions, arrived), sorted(derived.views), generation, before, now)


def withheld() -> Condition:
    """Return what is said instead of being ready when the guard keeps an import from going."""
    return Condition(READY, FALSE, ConditionReason.WITHHELD, f"{ConditionReason.WITHHELD.text}.")


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
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"conditions": [_dumped(c, generation, known.get(c.type, {}), stamp) for c in conditions]}


def offering(derived: Derived, members: Mapping[str, Member]) -> dict[str, list[dict[str, Any]]]:
    """Return what a ServiceImport's status should say: who exports, and where that is reached."""
    exporters = sorted(derived.exporters)
    return {"clusters": [{"cluster": name, "addresses": [_address(members[name])]} for name in exporters]}


def says(before: Status, wanted: Status) -> bool:
    """Tell whether a status says already what is wanted; others may have put more there."""
    known = {c["type"]: c for c in before.get("conditions") or ()}
    return all(
        all(known.get(c["type"]) == c for c in value)
        if name == "conditions"
        else list(before.get(name) or ()) == value
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
    if list(before.get("offeredTo") or ()) != wanted["offeredTo"]:
        status["offeredTo"] = wanted["offeredTo"]
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


def _address(member: Member) -> str:
    return f"{member.gateway_ip}:{member.gateway_port}"


def _sentence(stated: ConditionReason) -> str:
    return stated.text[:1].upper() + stated.text[1:]

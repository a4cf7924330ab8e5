"""The conditions that Towpath sets, each by one function from what is known to a ``Condition``.

| object              | condition type | function     |
| ------------------- | -------------- | ------------ |
| ServiceExport       | Valid          | ``valid``    |
| ServiceExport       | Conflict       | ``conflict`` |
| ServiceExport       | Ready          | ``ready``    |
| GlobalTrafficPolicy | Accepted       | ``accepted`` |
| GlobalTrafficPolicy | Resolved       | ``resolved`` |
| flomesh Cluster     | Managed        | ``managed``  |

Types and reasons of a ServiceExport are those of mcs-api v0.5. Messages have the shape of docs/style.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from towpath.model.arrival import Arrival
from towpath.model.cluster import Member
from towpath.model.condition import (
    ACCEPTED,
    CONFLICT,
    FALSE,
    MANAGED,
    READY,
    RESOLVED,
    TRUE,
    UNKNOWN,
    VALID,
    Condition,
)
from towpath.model.world import ExportedService
from towpath.rules.conflict import Disagreement
from towpath.rules.reasons import (
    Advice,
    Caution,
    ChainReason,
    ConditionReason,
    Exclusion,
    ExclusionReason,
    InvalidReason,
    NotImportedReason,
    PolicyReason,
    Reason,
    RouteReason,
)
from towpath.rules.serving import why_unserved
from towpath.text import several

MAX_MESSAGE_CHARACTERS = 32768
"""Length of a condition's message (metav1.Condition)."""
_MAX_EXPORTERS_NAMED, _MAX_IMPORTERS_NAMED = 20, 10
_MAX_QUOTED_CHARACTERS = 300
_ALREADY_EXISTS = "already exists"
"""What Karmada reports of an object that it did not create (execution_controller.go)."""
_FROM_FIRST_TO_LAST = list(ExclusionReason)
NOWHERE = frozenset(
    {ConditionReason.NO_SERVICE, ConditionReason.SERVICE_NOT_PROPAGATED, ConditionReason.NOT_PROPAGATED}
)
"""Reasons of Valid that no cluster has ServiceExport and Service."""
_AT_FIRST = {*NOWHERE, ExclusionReason.NOT_APPLIED_YET, ExclusionReason.NOT_REPORTED_YET}
"""Reasons that pass by themselves while Karmada processes a new service."""
_UNRESOLVED = {Advice.NOT_EXPORTED, Advice.UNKNOWN_KEY, Advice.NOT_AN_EXPORTER}


def valid(
    service: ExportedService,
    exporters: Sequence[str],
    excluded: Mapping[str, Exclusion],
    everywhere: Exclusion | None = None,
    twins: Iterable[Sequence[str]] = (),
    stale: Sequence[str] = (),
    out_of_scope: Sequence[str] = (),
    lost: Iterable[str] = (),
    without_namespace: Sequence[str] = (),
    faults: Sequence[str] = (),
) -> Condition:
    """Return whether any cluster exports the service. ``everywhere`` prevents it in all clusters.

    ``twins`` are the names of exporting clusters that have joined under several names, and ``stale`` the
    exporting clusters that hold another version of the ServiceExport for too long. ``out_of_scope`` are the
    keys of the clusters that could import, if none is in scope. ``lost`` are the exporting clusters that
    Karmada cannot reach, each with its times, and ``without_namespace`` the members that cannot import.
    ``faults`` are sentences about what keeps changes from the members.

    Where no cluster exports, the reason is that of the cluster that came furthest: the last obstacle.
    """
    if everywhere:
        return _condition(VALID, FALSE, everywhere.reason, everywhere.text)
    joined_twice = (f"{', '.join(names)}: {Advice.JOINED_TWICE.text}" for names in twins)
    lagging = f"{several(stale, _MAX_EXPORTERS_NAMED)}: {Advice.STALE_EXPORT.text}" if stale else ""
    keys = several(out_of_scope)
    nowhere = f"{keys}: {Advice.NO_IMPORTER_IN_SCOPE.text}" if out_of_scope else ""
    unreached = (f"{cluster}: {ChainReason.EXPORTER_LOST.text}" for cluster in lost)
    absent = NotImportedReason.NO_NAMESPACE
    names = several(without_namespace, _MAX_IMPORTERS_NAMED)
    missing = f"Not imported by {names} ({absent.value}): {absent.text}" if names else ""
    details = (
        _left_out(excluded),
        *unreached,
        Advice.FROZEN.text if service.frozen else "",
        *faults,
        *joined_twice,
        lagging,
        nowhere,
        missing,
    )
    if exporters:
        return _condition(
            VALID,
            TRUE,
            ConditionReason.VALID,
            f"Exported by {several(exporters, _MAX_EXPORTERS_NAMED)}.",
            *details,
        )
    if not excluded:
        reason: Reason = _why_nowhere(service, follows=not service.selected)
        return _condition(VALID, FALSE, reason, reason.text, *details)
    reason = max((exclusion.reason for exclusion in excluded.values()), key=_FROM_FIRST_TO_LAST.index)
    if reason is ExclusionReason.SERVICE_NOT_BOUND:
        reason = _why_nowhere(service, follows=True)
    return _condition(VALID, FALSE, reason, "No cluster exports the service.", reason.text, *details)


def _why_nowhere(service: ExportedService, *, follows: bool) -> ConditionReason:
    """Return why no cluster has export and Service. ``follows``: it depends on where the Service is."""
    if not service.has_service:
        return ConditionReason.NO_SERVICE
    if follows and (service.serving or not service.service_selected):
        return ConditionReason.SERVICE_NOT_PROPAGATED
    return ConditionReason.NOT_PROPAGATED


def is_transient(valid: Condition) -> bool:
    """Tell whether Valid says only that Karmada has not got to the service, as it does at the beginning."""
    return valid.status == FALSE and valid.reason in _AT_FIRST


def conflict(disagreements: Iterable[Disagreement]) -> Condition:
    """Return whether the exporters agree; all reasons at once, joined by commas as mcs-api has them."""
    found = list(disagreements)
    if not found:
        return _condition(CONFLICT, FALSE, ConditionReason.NO_CONFLICTS)
    return _condition(
        CONFLICT, TRUE, _joined(d.reason for d in found), *(disagreement.message for disagreement in found)
    )


def ready(importers: Sequence[str], arrival: Arrival) -> Condition:
    """Return whether the importers hold what was derived, and if not, what prevents it."""
    behind = sorted(arrival.behind)
    if not importers:
        return _condition(READY, FALSE, ConditionReason.NOT_IMPORTED)
    if prevented := _prevented(arrival):
        reason, about = prevented
        return _condition(READY, FALSE, reason, f"{about}: {reason.text}")
    if not arrival.reported:
        return _condition(READY, UNKNOWN, ConditionReason.NOT_REPORTED)
    progress = f"{len(importers) - len(behind)} of {len(importers)} importing clusters have the import."
    if not behind:
        return _arrived(arrival, progress)
    trouble = arrival.failed.keys() - arrival.catching_up.keys()
    if failed := {name: arrival.failed[name] for name in behind if name in trouble}:
        return _condition(READY, FALSE, *_not_applied(progress, failed))
    waiting = f"Waiting for {several(behind, _MAX_IMPORTERS_NAMED)}."
    if set(behind) <= set(arrival.lost):
        lost = ConditionReason.CLUSTER_LOST
        return _condition(READY, FALSE, lost, progress, waiting, lost.text)
    if names := [name for name in behind if name in arrival.catching_up]:
        late = ConditionReason.CATCHING_UP
        return _condition(READY, FALSE, late, progress, waiting, f"{several(names)}: {late.text}")
    return _condition(READY, FALSE, ConditionReason.PENDING, progress, waiting)


def _arrived(arrival: Arrival, progress: str) -> Condition:
    """Return Ready where every importing cluster has the import: whether exporters answer calls."""
    if arrival.unrouted:
        return unrouted(arrival.unrouted)
    if arrival.unserved:
        return _condition(READY, FALSE, *why_unserved(arrival.unserved))
    return _condition(READY, TRUE, ConditionReason.EXPORTED, progress)


def unrouted(found: Mapping[str, tuple[str, str]]) -> Condition:
    """Return Ready where an exporter's own gateway does not serve the service: the reason, and what is known.

    What passes by itself is told last.
    """
    worst = min(found.values(), key=lambda why: why[0] == RouteReason.PENDING)
    clusters = sorted(name for name, why in found.items() if why == worst)
    reason, detail = RouteReason.of(worst[0]), worst[1].rstrip(". ")
    quoted = f"{detail[:_MAX_QUOTED_CHARACTERS]}." if detail else ""
    return _condition(
        READY, FALSE, reason, f"{several(clusters, _MAX_EXPORTERS_NAMED)}: {reason.text}", quoted
    )


def being_deleted() -> Condition:
    """Return Valid while something holds a ServiceExport whose deletion was requested."""
    return _condition(VALID, FALSE, ConditionReason.BEING_DELETED)


def withheld(mostly: str = "") -> Condition:
    """Return Ready while the deletion guard keeps an import.

    ``mostly`` is the namespace of most imports that would be removed, empty after an empty list.
    """
    reason = ConditionReason.WITHHELD
    cause = f"Most of the imports are in namespace {mostly}." if mostly else ""
    return _condition(READY, FALSE, reason, reason.text, cause)


def name_in_use(objects: Iterable[str]) -> Condition:
    """Return Ready where objects of users have the names of derived ones."""
    reason = ConditionReason.NAME_IN_USE
    return _condition(READY, FALSE, reason, f"{several(objects)}: {reason.text}")


def too_large(problem: str) -> Condition:
    """Return Ready where Karmada cannot carry an import; ``problem`` is a sentence with the sizes."""
    reason = ConditionReason.VIEW_TOO_LARGE
    return _condition(READY, FALSE, reason, problem, reason.text)


def accepted(cautions: Iterable[Caution]) -> Condition:
    """Return whether a traffic policy can do what it says. Warnings are part of the message."""
    found = list(cautions)
    refused = [caution for caution in found if isinstance(caution.reason, InvalidReason)]
    if refused:
        return _of_cautions(ACCEPTED, refused)
    surprising = (caution.text for caution in found if caution.reason not in _UNRESOLVED)
    return _condition(ACCEPTED, TRUE, PolicyReason.ACCEPTED, *surprising)


def resolved(cautions: Iterable[Caution]) -> Condition:
    """Return whether the clusters that a traffic policy names export the service."""
    missing = [caution for caution in cautions if caution.reason in _UNRESOLVED]
    return _of_cautions(RESOLVED, missing) if missing else _condition(RESOLVED, TRUE, PolicyReason.RESOLVED)


def managed(member: Member | None) -> Condition:
    """Return whether a flomesh Cluster stands for a member that Karmada reaches."""
    if member is None:
        return _condition(MANAGED, FALSE, PolicyReason.NO_MEMBER)
    if member.unreachable_since is not None:
        return _condition(MANAGED, FALSE, PolicyReason.MEMBER_LOST)
    return _condition(MANAGED, TRUE, PolicyReason.MANAGED)


def _condition(kind: str, status: str, reason: str, *sentences: str) -> Condition:
    """Return a condition; without any sentence its message is the text of the reason."""
    message = " ".join(filter(None, sentences)) or (reason.text if isinstance(reason, Reason) else "")
    return Condition(kind, status, reason, message[:MAX_MESSAGE_CHARACTERS])


def _of_cautions(kind: str, cautions: Sequence[Caution]) -> Condition:
    return _condition(kind, FALSE, _joined(c.reason for c in cautions), *(c.text for c in cautions))


def _joined(reasons: Iterable[Reason]) -> str:
    return ",".join(dict.fromkeys(reason.value for reason in reasons))


def _prevented(arrival: Arrival) -> tuple[ConditionReason, str] | None:
    """Return what keeps imports from arriving as they were derived, and the object that does it."""
    if arrival.taken_by:
        return ConditionReason.IMPORT_NAME_TAKEN, f"ServiceImport of {arrival.taken_by}"
    if arrival.claimed_by:
        return ConditionReason.CLAIMED_ELSEWHERE, arrival.claimed_by
    if arrival.overridden:
        policies, clusters = (
            set(arrival.overridden.values()),
            several(arrival.overridden, _MAX_IMPORTERS_NAMED),
        )
        return ConditionReason.OVERRIDDEN, f"{several(policies)} in {clusters}"
    return None


def _not_applied(progress: str, failed: Mapping[str, str]) -> tuple[str, ...]:
    """Return the reason and the sentences about clusters in which Karmada cannot write."""
    left = [name for name, message in failed.items() if _ALREADY_EXISTS in message]
    if left:
        reason = ConditionReason.LEFT_IN_MEMBER
        return reason, progress, f"Blocked in {several(left, _MAX_IMPORTERS_NAMED)}.", reason.text
    name, message = next(iter(failed.items()))
    reason = ConditionReason.NOT_APPLIED
    others = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
    quoted = message[:_MAX_QUOTED_CHARACTERS].rstrip(". ")
    return reason, progress, reason.text, f"{name}{others}: {quoted}."


def _left_out(excluded: Mapping[str, Exclusion]) -> str:
    if not excluded:
        return ""
    shown = (f"{name} ({_short(exclusion)})" for name, exclusion in sorted(excluded.items()))
    return f"Left out: {'; '.join(shown)}."


def _short(exclusion: Exclusion) -> str:
    return f"{exclusion.reason.value}: {exclusion.detail}" if exclusion.detail else exclusion.reason.value

"""What the status of an object says of it.

Of an export ``Valid`` and ``Conflict`` (mcs-api v0.5 types and reasons), of a traffic policy ``Accepted`` and
``Resolved``, of a flomesh Cluster ``Managed``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from towpath.model.cluster import Member
from towpath.model.condition import ACCEPTED, CONFLICT, FALSE, MANAGED, RESOLVED, TRUE, VALID, Condition
from towpath.model.world import ExportedService
from towpath.rules.conflict import Disagreement
from towpath.rules.reasons import (
    Advice,
    Caution,
    ConditionReason,
    Exclusion,
    ExclusionReason,
    InvalidReason,
    PolicyReason,
)

_NAMED = 20
"""Clusters that a message names before it only counts."""
_ORDER = list(ExclusionReason)
_UNRESOLVED = {Advice.NOT_EXPORTED, Advice.UNKNOWN_KEY, Advice.NOT_AN_EXPORTER}
_LONGEST = 32768
"""Characters that a condition's message may have (metav1.Condition)."""


def valid(
    service: ExportedService,
    exporters: Sequence[str],
    excluded: Mapping[str, Exclusion],
    everywhere: Exclusion | None = None,
) -> Condition:
    """Return whether anybody exports the service. ``everywhere`` is what is in the way in every cluster.

    Where nobody does, the reason is that of the cluster that came furthest: the last thing in the way.
    """
    if everywhere:
        return Condition(VALID, FALSE, everywhere.reason, f"{_sentence(everywhere.text)}.")
    rest = "".join(f" {said}" for said in (_left_out(excluded), *_troubles(service)) if said)
    if exporters:
        message = f"Exported by {_several(exporters)}.{rest}"
        return Condition(VALID, TRUE, ConditionReason.VALID, message[:_LONGEST])
    if not excluded:
        # Without a policy of the user's own the export follows its Service.
        none = ConditionReason.NOT_PROPAGATED if service.selected else ConditionReason.NO_SERVICE
        return Condition(VALID, FALSE, none, f"{_sentence(none.text)}.{rest}"[:_LONGEST])
    furthest = max((one.reason for one in excluded.values()), key=_ORDER.index)
    reason = ConditionReason.NO_SERVICE if furthest is ExclusionReason.SERVICE_NOT_BOUND else furthest
    return Condition(VALID, FALSE, reason, f"Exported by no cluster.{rest}"[:_LONGEST])


def conflict(disagreements: Iterable[Disagreement]) -> Condition:
    """Return whether the exporters agree; all reasons at once, joined by commas as mcs-api has them."""
    those = list(disagreements)
    if not those:
        return Condition(
            CONFLICT, FALSE, ConditionReason.NO_CONFLICTS, f"{_sentence(ConditionReason.NO_CONFLICTS.text)}."
        )
    reasons = ",".join(dict.fromkeys(one.reason.value for one in those))
    return Condition(CONFLICT, TRUE, reasons, " ".join(one.message for one in those)[:_LONGEST])


def accepted(cautions: Iterable[Caution]) -> Condition:
    """Return whether a traffic policy can do what it says; what surprises is told all the same."""
    those = list(cautions)
    refused = [one for one in those if isinstance(one.reason, InvalidReason)]
    if refused:
        return _of_policy(ACCEPTED, FALSE, refused)
    surprising = [one for one in those if one.reason not in _UNRESOLVED]
    said = " ".join(f"{_sentence(one.text)}." for one in surprising)
    return Condition(
        ACCEPTED,
        TRUE,
        PolicyReason.ACCEPTED,
        (said or f"{_sentence(PolicyReason.ACCEPTED.text)}.")[:_LONGEST],
    )


def resolved(cautions: Iterable[Caution]) -> Condition:
    """Return whether the clusters that a traffic policy names export the service."""
    missing = [one for one in cautions if one.reason in _UNRESOLVED]
    if missing:
        return _of_policy(RESOLVED, FALSE, missing)
    return Condition(RESOLVED, TRUE, PolicyReason.RESOLVED, f"{_sentence(PolicyReason.RESOLVED.text)}.")


def managed(member: Member | None) -> Condition:
    """Return whether a flomesh Cluster stands for a member that Karmada reaches."""
    if member is None:
        stated, status = PolicyReason.NO_MEMBER, FALSE
    elif member.unreachable_since is not None:
        stated, status = PolicyReason.MEMBER_LOST, FALSE
    else:
        stated, status = PolicyReason.MANAGED, TRUE
    return Condition(MANAGED, status, stated, f"{_sentence(stated.text)}.")


def _of_policy(aspect: str, status: str, cautions: Sequence[Caution]) -> Condition:
    reasons = ",".join(dict.fromkeys(one.reason.value for one in cautions))
    said = " ".join(f"{_sentence(one.text)}." for one in cautions)
    return Condition(aspect, status, reasons, said[:_LONGEST])


def _troubles(service: ExportedService) -> Iterator[str]:
    """Yield what keeps changes of a service from its members, though nothing says so."""
    if service.frozen:
        yield f"{_sentence(Advice.FROZEN.text)}."
    yield from service.faults


def _several(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _left_out(excluded: Mapping[str, Exclusion]) -> str:
    if not excluded:
        return ""
    return "Left out: " + "; ".join(f"{name} ({_said(one)})" for name, one in sorted(excluded.items())) + "."


def _said(one: Exclusion) -> str:
    return f"{one.reason.value}: {one.detail}" if one.detail else one.reason.value


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]

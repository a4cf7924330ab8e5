"""What the status of an export says of it: ``Valid`` and ``Conflict`` (mcs-api v0.5 types and reasons)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from towpath.model.condition import CONFLICT, FALSE, TRUE, VALID, Condition
from towpath.model.world import ExportedService
from towpath.rules.conflict import Disagreement
from towpath.rules.reasons import Excluded, Exclusion, Stated

_NAMED = 20
"""Clusters that a message names before it only counts."""
_ORDER = list(Excluded)
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
    left_out = f" {_left_out(excluded)}" if excluded else ""
    if exporters:
        message = f"Exported by {_several(exporters)}.{left_out}"
        return Condition(VALID, TRUE, Stated.VALID, message[:_LONGEST])
    if not excluded:
        # Without a policy of the user's own the export follows its Service.
        none = Stated.NOT_PROPAGATED if service.selected else Stated.NO_SERVICE
        return Condition(VALID, FALSE, none, f"{_sentence(none.text)}.")
    furthest = max((one.reason for one in excluded.values()), key=_ORDER.index)
    reason = Stated.NO_SERVICE if furthest is Excluded.SERVICE_NOT_BOUND else furthest
    return Condition(VALID, FALSE, reason, f"Exported by no cluster.{left_out}"[:_LONGEST])


def conflict(disagreements: Iterable[Disagreement]) -> Condition:
    """Return whether the exporters agree; all reasons at once, joined by commas as mcs-api has them."""
    those = list(disagreements)
    if not those:
        return Condition(CONFLICT, FALSE, Stated.NO_CONFLICTS, f"{_sentence(Stated.NO_CONFLICTS.text)}.")
    reasons = ",".join(dict.fromkeys(one.reason.value for one in those))
    return Condition(CONFLICT, TRUE, reasons, " ".join(one.message for one in those)[:_LONGEST])


def _several(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _left_out(excluded: Mapping[str, Exclusion]) -> str:
    return "Left out: " + "; ".join(f"{name} ({_said(one)})" for name, one in sorted(excluded.items())) + "."


def _said(one: Exclusion) -> str:
    return f"{one.reason.value}: {one.detail}" if one.detail else one.reason.value


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]

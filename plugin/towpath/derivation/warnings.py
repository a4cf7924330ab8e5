"""Warnings: what is legal, and yet does not do what it says because of how FSM consumes it.

Asked for when somebody wants to know, not with every derivation: nothing that is written depends on it.
"""

from __future__ import annotations

from collections.abc import Iterator

from towpath.derivation.derive import Derived, exporters_of
from towpath.model.cluster import DRAIN_ANNOTATION, Fleet
from towpath.model.export import ABORT, CONFLICT_RESOLUTION, OVERWRITE, WHEN_UNREACHABLE
from towpath.model.world import AppliedPolicy, ExportedService
from towpath.rules.eligibility import drain_list
from towpath.rules.export_warnings import export_warnings
from towpath.rules.reachability import grace
from towpath.rules.reasons import Advice, Caution
from towpath.rules.traffic import impossible, surprises


def advise(service: ExportedService, derived: Derived, fleet: Fleet) -> tuple[Caution, ...]:
    """Return what surprises about an export and its imports."""
    shape = export_warnings(exporters_of(service, derived.exporters, fleet), fleet.keys)
    frozen = (Caution(Advice.FROZEN, ""),) if service.frozen else ()
    joined = tuple(Caution(Advice.JOINED_TWICE, "", ", ".join(names)) for names in fleet.joined_twice)
    return (*_annotations(service, fleet), *frozen, *shape, *joined)


def advise_policy(
    applied: AppliedPolicy, service: ExportedService | None, derived: Derived | None, fleet: Fleet
) -> tuple[Caution, ...]:
    """Return what is impossible or surprises about a traffic policy. ``service`` is the one of its name."""
    exporters = exporters_of(service, derived.exporters, fleet) if service and derived else []
    return (
        *impossible(applied.policy),
        *surprises(
            applied.policy,
            consumers=[fleet.members[name] for name in sorted(applied.clusters & fleet.members.keys())],
            exporters=exporters,
            known=fleet.keys,
            local=service.serving if service else (),
        ),
    )


def _annotations(service: ExportedService, fleet: Fleet) -> Iterator[Caution]:
    unreachable = service.annotations.get(WHEN_UNREACHABLE, "")
    if grace(unreachable) is None:
        detail = f"{unreachable!r}: must be Keep, Withdraw or WithdrawAfter=<duration>"
        yield Caution(Advice.BAD_ANNOTATION, f"metadata.annotations[{WHEN_UNREACHABLE}]", detail)
    resolution = service.annotations.get(CONFLICT_RESOLUTION, ABORT)
    if resolution not in {ABORT, OVERWRITE}:
        detail = f"{resolution!r}: must be {OVERWRITE} or {ABORT}"
        yield Caution(Advice.BAD_ANNOTATION, f"metadata.annotations[{CONFLICT_RESOLUTION}]", detail)
    for cluster in drain_list(service):
        if cluster not in fleet.members and cluster not in fleet.keys:
            detail = f"{cluster!r}: must be the name or the key of a member cluster"
            yield Caution(Advice.BAD_ANNOTATION, f"metadata.annotations[{DRAIN_ANNOTATION}]", detail)

"""Warnings: what is legal, and yet does not do what it says because of how FSM consumes it.

Asked for when somebody wants to know, not with every derivation: nothing that is written depends on it.
"""

from __future__ import annotations

from collections.abc import Iterator

from towpath.derivation.derive import Derived, exporters_of
from towpath.model.cluster import DRAIN_ANNOTATION, Fleet
from towpath.model.export import ABORT, CONFLICT_RESOLUTION, OVERWRITE, RELEASED, WHEN_UNREACHABLE
from towpath.model.world import AppliedPolicy, ExportedService
from towpath.rules.eligibility import drain_list
from towpath.rules.export_warnings import export_warnings
from towpath.rules.handover import overwritten_in, released
from towpath.rules.reachability import misspelled
from towpath.rules.reasons import Advice, Caution
from towpath.rules.traffic import impossible, surprises

_MAX_UNKNOWN = 20
"""Clusters of an annotation that are named in warnings."""


def advise(service: ExportedService, derived: Derived, fleet: Fleet) -> tuple[Caution, ...]:
    """Return what surprises about an export and its imports."""
    importers = [fleet.members[name] for name in derived.views if name in fleet.members]
    shape = export_warnings(exporters_of(service, derived.exporters, fleet), fleet.keys, importers)
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
    yield from misspelled(service.annotations.get(WHEN_UNREACHABLE, ""))
    resolution = service.annotations.get(CONFLICT_RESOLUTION, ABORT)
    overwritten = overwritten_in(resolution)
    if resolution not in {ABORT, OVERWRITE} and not overwritten:
        detail = f"{resolution!r}: must be {OVERWRITE}, {OVERWRITE}=<clusters> or {ABORT}"
        yield Caution(Advice.BAD_ANNOTATION, f"metadata.annotations[{CONFLICT_RESOLUTION}]", detail)
    members, member = frozenset(fleet.members), "the name of a member cluster"
    for annotation, unknown, expected in (
        (CONFLICT_RESOLUTION, frozenset(overwritten) - members, member),
        (RELEASED, released(service.annotations) - members, member),
        (
            DRAIN_ANNOTATION,
            drain_list(service) - members - fleet.keys,
            "the name or the key of a member cluster",
        ),
    ):
        for cluster in sorted(unknown)[:_MAX_UNKNOWN]:
            detail = f"{cluster!r}: must be {expected}"
            yield Caution(Advice.BAD_ANNOTATION, f"metadata.annotations[{annotation}]", detail)

"""What a pass writes into the status of an export.

No I/O and no clock: the snapshot has the time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from towpath.controller.decision import PatchStatus
from towpath.controller.news import Subject
from towpath.derivation.derive import Derived
from towpath.derivation.render import Rendered
from towpath.derivation.status import Status, export_status, recording, stated
from towpath.inventory.snapshot import Snapshot
from towpath.karmada.decode import StoredExport, paths_in
from towpath.karmada.places import export_of
from towpath.model.arrival import Arrival
from towpath.model.world import ExportedService
from towpath.rules import conditions
from towpath.rules.contention import is_shown, is_to_record


class Reports(NamedTuple):
    """What a pass writes into a status: ``records`` before what depends on them, ``status`` in the end."""

    records: tuple[PatchStatus, ...]
    status: PatchStatus


def reports_of(
    snapshot: Snapshot,
    service: ExportedService,
    export: StoredExport,
    derived: Derived,
    wanted: Rendered,
    arrival: Arrival,
    *,
    writing: bool,
) -> Reports:
    """Return what the status of an export is to say. ``writing``: its import or its policies are written."""
    records = _records(snapshot, service, wanted, writing=writing)
    return Reports(records, status_of(snapshot, export, derived, wanted, arrival))


def status_of(
    snapshot: Snapshot, export: StoredExport, derived: Derived, wanted: Rendered, arrival: Arrival
) -> PatchStatus:
    """Return the status of the export."""
    make = partial(
        export_status,
        derived,
        wanted,
        arrival,
        snapshot.claims,
        generation=export.generation,
        now=snapshot.now,
    )
    return _patch(snapshot, export, make)


def _records(
    snapshot: Snapshot, service: ExportedService, wanted: Rendered, *, writing: bool
) -> tuple[PatchStatus, ...]:
    """Return the record of claims that have begun or ended, unless the first report is soon enough for it."""
    if wanted.refused or not is_to_record(service, snapshot.claims):
        return ()
    changes = writing and snapshot.current.service_import is not None
    if (
        snapshot.may_record_later
        and not changes
        and is_shown(snapshot.claims, paths_in(wanted.service_import))
    ):
        return ()
    return (PatchStatus(*export_of(snapshot.key), partial(recording, snapshot.claims)),)


def deletion_of(snapshot: Snapshot, export: StoredExport) -> PatchStatus:
    """Return the status of an export that is being deleted."""
    deleted = (conditions.being_deleted(), conditions.ready((), Arrival()))
    make = partial(stated, deleted, export.generation, now=snapshot.now)
    return _patch(snapshot, export, make)


def _patch(snapshot: Snapshot, export: StoredExport, make: Callable[[Status], Status]) -> PatchStatus:
    place = export_of(snapshot.key)
    return PatchStatus(*place, make, Subject.of(*place, export.uid))

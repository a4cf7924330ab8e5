"""What a pass writes into the status of an export.

No I/O and no clock: the snapshot has the time.
"""

from __future__ import annotations

from functools import partial

from towpath.controller.decision import PatchStatus
from towpath.controller.events import Subject
from towpath.derivation.derive import Derived
from towpath.derivation.render import Rendered
from towpath.derivation.status import export_status, recording, stated
from towpath.inventory.snapshot import Snapshot
from towpath.karmada import resources
from towpath.karmada.client import Resource
from towpath.karmada.decode import StoredExport
from towpath.karmada.wire import Name
from towpath.model.arrival import Arrival
from towpath.model.keys import ServiceKey
from towpath.model.world import ExportedService
from towpath.rules import conditions
from towpath.rules.contention import is_to_record


def export_of(key: ServiceKey) -> tuple[Resource, Name]:
    """Return where the export is."""
    return resources.service_exports(key.dialect), Name(key.namespace, key.name)


def import_of(key: ServiceKey) -> tuple[Resource, Name]:
    """Return where the derived import is."""
    return resources.service_imports(key.dialect), Name(key.namespace, key.name)


def subject(key: ServiceKey, export: StoredExport) -> Subject:
    """Return the export as the subject of events."""
    return Subject(key.dialect.api_version, "ServiceExport", key.namespace, key.name, export.uid)


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
    return PatchStatus(*export_of(snapshot.key), make, subject(snapshot.key, export))


def record_of(
    snapshot: Snapshot, service: ExportedService, wanted: Rendered, *, writing: bool
) -> tuple[PatchStatus, ...]:
    """Return the record of claims that have begun or ended, unless the first report of the export is in time.

    ``writing``: the import is about to be written, or its policies.
    """
    if wanted.refused or not is_to_record(service, snapshot.claims):
        return ()
    if snapshot.may_record_later and not (writing and snapshot.current.service_import):
        return ()
    return (PatchStatus(*export_of(snapshot.key), partial(recording, snapshot.claims)),)


def deletion_of(snapshot: Snapshot, export: StoredExport) -> PatchStatus:
    """Return the status of an export that is being deleted."""
    deleted = (conditions.being_deleted(), conditions.ready((), Arrival()))
    make = partial(stated, deleted, export.generation, now=snapshot.now)
    return PatchStatus(*export_of(snapshot.key), make, subject(snapshot.key, export))

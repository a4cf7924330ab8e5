"""The OverridePolicy of a Service that an import brings along: what a pass does about it.

It is written before the policy that brings the Service along, and deleted when no cluster has the Service by
its import any more. ``derivation.brought`` says what it holds.
"""

from __future__ import annotations

from towpath.controller.decision import Decision
from towpath.derivation.brought import service_override
from towpath.derivation.drift import needs_apply
from towpath.derivation.render import Rendered
from towpath.derivation.stages import Write
from towpath.inventory.snapshot import Snapshot


def decide(snapshot: Snapshot, wanted: Rendered | None = None) -> Decision:
    """Decide. ``wanted`` is what the export is to become, None if there is no export."""
    derived = snapshot.derived
    if snapshot.brought is None or (wanted and wanted.refused):
        return Decision()
    importers = derived.views if wanted and derived and derived.brings_service else ()
    write = Write(snapshot.service_policy, service_override(snapshot.key, snapshot.brought, importers))
    return Decision(stages=((write,),)) if needs_apply(*write) else Decision()

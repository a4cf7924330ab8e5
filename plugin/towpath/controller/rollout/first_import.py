"""When a new import is written: not for each exporter of a new export by itself.

Karmada applies an export and its Service in one cluster after the other, and a cluster exports when it has
both. An import that is written for the first of them is written again for every further one, and each time
Karmada processes the whole template for all members. So a new import waits for the bound clusters that do not
have both objects yet: Karmada usually applies all of them within a tenth of one second. A cluster that takes
longer joins later, a lost one is not waited for, and an import that exists waits for nothing.

No I/O and no clock: the snapshot has the time.
"""

from __future__ import annotations

import math

from towpath.controller.rollout.load import Load
from towpath.derivation.render import Rendered
from towpath.inventory.snapshot import Snapshot
from towpath.model.keys import ServiceKey

JOINING_GRACE_SECONDS = 1.0
"""The longest time from the first exporter until the import is written; longer while Karmada is busy."""


class FirstImports:
    """The exports that have exporters and no import yet, because further clusters are about to export."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._since: dict[ServiceKey, float] = {}

    def wait(self, snapshot: Snapshot, wanted: Rendered) -> float:
        """Return until when the import waits; infinity if it does not."""
        is_new = snapshot.current.service_import is None and wanted.service_import is not None
        if not is_new or not _is_growing(snapshot):
            self.forget(snapshot.key)
            return math.inf
        since = self._since.setdefault(snapshot.key, snapshot.now)
        until = since + JOINING_GRACE_SECONDS * self._load.pace
        return until if snapshot.now < until else math.inf

    def forget(self, key: ServiceKey) -> None:
        """A service no longer exists, or its import waits for nothing."""
        self._since.pop(key, None)


def _is_growing(snapshot: Snapshot) -> bool:
    """Tell whether a cluster that Karmada can reach is about to export."""
    joining = snapshot.derived.joining if snapshot.derived else ()
    return not snapshot.imports.lost.issuperset(joining)

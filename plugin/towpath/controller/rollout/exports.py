"""When to touch a ServiceExport of which a member holds another version than Karmada has applied there.

A write that times out in a hanging member is lost, and Karmada reports it as done (lost write). What the
member reports of its copy tells, and a touch of the template makes Karmada write again. Each further touch
waits longer, and the more is in flight the longer. ``derivation.derive`` tells the user in the end.

No I/O and no clock: callers pass the time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from towpath.controller.backoff import Backoff
from towpath.controller.rollout.load import Load
from towpath.model.keys import ServiceKey

FIRST_DELAY = 1
"""The delay before the first touch: a shorter one is useless, since a write is lost when it times out."""


class Look(NamedTuple):
    """Whether to touch the export now, and when to look again if nothing changes."""

    touch: bool = False
    look_again: float = math.inf


class StaleExports:
    """The exports of which some member that Karmada reaches holds another version."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._backoffs: dict[ServiceKey, tuple[float, Backoff]] = {}

    def forget(self, key: ServiceKey) -> None:
        """An export no longer exists."""
        self._backoffs.pop(key, None)

    def look(self, key: ServiceKey, stale: Mapping[str, float], now: float) -> Look:
        """Judge an export of which these members hold another version, each since then.

        A newer version of the export gives new patience.
        """
        if not stale:
            self.forget(key)
            return Look()
        latest = max(stale.values())
        began, backoff = self._backoffs.get(key, (-math.inf, Backoff(now)))
        if latest > began:
            began, backoff = self._backoffs[key] = latest, Backoff(latest, FIRST_DELAY)
        touch = now >= backoff.due(self._load.pace)
        if touch:
            backoff.touched(now)
        return Look(touch, backoff.due(self._load.pace))

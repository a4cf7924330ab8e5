"""The work that is in flight through Karmada, and how much longer than usual everything takes because of it.

Every touch and every status makes Karmada process the whole template again, so a busy Karmada is left alone:
during a burst of 100 exports they made the rest a fifth slower. Whatever waits for Karmada, or wants to
report something, waits longer the more is in flight.
"""

from __future__ import annotations

import math

from towpath.model.keys import ServiceKey

SERVICES_WHEN_BUSY = 20
"""Services in flight above which Karmada counts as busy."""
MAX_PACE = 20.0
"""The largest factor by which waiting times grow."""


class Load:
    """The services that Karmada has yet to bind, or that members have yet to receive."""

    def __init__(self) -> None:
        self.unbound: set[ServiceKey] = set()
        self.lagging: set[ServiceKey] = set()
        self.progress = -math.inf
        """When a member last reported something that it lacked."""

    @property
    def is_busy(self) -> bool:
        """Whether so much is in flight that further writes would make it slower."""
        return self.pace > 1

    @property
    def pace(self) -> float:
        """How much longer than usual things take."""
        return min(max(1.0, (len(self.lagging) + len(self.unbound)) / SERVICES_WHEN_BUSY), MAX_PACE)

"""What is on its way through Karmada, and how much longer than usual each thing takes among it.

A Karmada that has much to do is left to it, or touches and statuses would be what it has to do: each makes it
look at the whole template (measured: they made a burst of 100 exports a fifth slower). So whatever waits for
Karmada, or has something to tell, waits the longer the more there is.
"""

from __future__ import annotations

import math

from towpath.model.keys import ServiceKey

MANY = 20
"""Services on their way before Karmada counts as busy: what can wait does."""
SLOWEST = 20.0
"""The most that things are taken to slow down."""


class Underway:
    """The services that Karmada has yet to bind, or members yet to get."""

    def __init__(self) -> None:
        self.unbound: set[ServiceKey] = set()
        self.lagging: set[ServiceKey] = set()
        self.progress = -math.inf
        """When a member last got what it lacked."""

    @property
    def is_busy(self) -> bool:
        """Whether so much is on its way that every further write would make it slower."""
        return self.pace > 1

    @property
    def pace(self) -> float:
        """How much longer than usual things take."""
        return min(max(1.0, (len(self.lagging) + len(self.unbound)) / MANY), SLOWEST)

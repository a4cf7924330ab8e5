"""The work that is in flight through Karmada, and how much longer than usual everything takes because of it.

Every touch and every status makes Karmada process the whole template again, so a busy Karmada is left alone:
during a burst of 100 exports they made the rest a fifth slower. Whatever waits for Karmada, or wants to
report something, waits longer the more is in flight, and the longer it took lately until something arrived.
"""

from __future__ import annotations

import math

from towpath.model.keys import ServiceKey

SERVICES_WHEN_BUSY = 20
"""Services in flight above which Karmada counts as busy."""
USUAL_SECONDS = 1.5
"""The time within which Karmada binds an export, and members receive an import, when it is not busy."""
SHARE_OF_LATEST = 0.2
"""How much the latest time counts beside those before it."""
MAX_PACE = 20.0
"""The largest factor by which waiting times grow."""


class Load:
    """The services that Karmada has yet to bind, or that members have yet to receive."""

    def __init__(self) -> None:
        self.unbound: set[ServiceKey] = set()
        self.lagging: set[ServiceKey] = set()
        self.progress = -math.inf
        """When a member last reported something that it lacked."""
        self._lately = 0.0

    @property
    def is_busy(self) -> bool:
        """Whether so much is in flight that further writes would make it slower."""
        return self._in_flight > SERVICES_WHEN_BUSY

    @property
    def pace(self) -> float:
        """How much longer than usual things take: by what is in flight, and by what took long lately."""
        return max(self.busy_pace, min(self._lately / USUAL_SECONDS, MAX_PACE))

    @property
    def busy_pace(self) -> float:
        """How much longer than usual things take by what is in flight alone."""
        return min(max(1.0, self._in_flight / SERVICES_WHEN_BUSY), MAX_PACE)

    @property
    def _in_flight(self) -> int:
        return len(self.lagging) + len(self.unbound)

    def leave_unbound(self, key: ServiceKey, seconds: float | None = None) -> None:
        """Karmada has bound a service after so long, or need not: then ``seconds`` is None."""
        self._leave(self.unbound, key, seconds)

    def leave_lagging(self, key: ServiceKey, seconds: float | None = None) -> None:
        """Members have received a service after so long; None if the time says nothing about Karmada."""
        self._leave(self.lagging, key, seconds)

    def _leave(self, services: set[ServiceKey], key: ServiceKey, seconds: float | None) -> None:
        if key in services and seconds is not None:
            self._lately += SHARE_OF_LATEST * (seconds - self._lately)
        services.discard(key)
        if not self._in_flight:
            self._lately = 0.0

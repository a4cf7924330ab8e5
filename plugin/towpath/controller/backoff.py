"""How long Karmada is left alone with a template before a touch: each further touch waits longer."""

from __future__ import annotations

from dataclasses import dataclass

TOUCH_DELAYS_SECONDS = (3.0, 10.0, 30.0, 60.0, 300.0)
"""The time before the first touch and before each further one; the last delay repeats."""


@dataclass
class Backoff:
    """The touches of one template. ``since`` is when it began to need one, or when it was last touched."""

    since: float
    touches: int = 0

    def due(self, pace: float = 1.0) -> float:
        """Return when the next touch is due; ``pace`` is how much longer than usual Karmada takes."""
        return self.since + TOUCH_DELAYS_SECONDS[min(self.touches, len(TOUCH_DELAYS_SECONDS) - 1)] * pace

    def touched(self, now: float) -> None:
        """Wait for the next delay."""
        self.touches, self.since = self.touches + 1, now

"""How long a template is left to Karmada before it is touched: each further touch waits longer."""

from __future__ import annotations

from dataclasses import dataclass

PATIENCE = (3.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds before the first touch and each that follows; the last goes on for ever."""


@dataclass
class Patience:
    """With one template, ``since`` when it began to be in need of a touch, or was touched last."""

    since: float
    touches: int = 0

    def due(self, pace: float = 1.0) -> float:
        """Return when it ends; ``pace`` is how much longer than usual things take."""
        return self.since + PATIENCE[min(self.touches, len(PATIENCE) - 1)] * pace

    def touched(self, now: float) -> None:
        """Begin anew."""
        self.touches, self.since = self.touches + 1, now

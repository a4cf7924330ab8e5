"""A token bucket: limits how often something happens."""

from __future__ import annotations


class TokenBucket:
    """``rate`` tokens a second, and ``burst`` at once after a quiet time. The caller passes the time."""

    def __init__(self, rate: float, burst: int) -> None:
        self._interval = 1 / rate
        self._depth = burst / rate
        self._paid_until = 0.0

    def take(self, now: float) -> bool:
        """Take a token if there is one; return whether there was."""
        until = max(now, self._paid_until) + self._interval
        if until - now > self._depth + self._interval / 1000:
            return False
        self._paid_until = until
        return True

    def pause(self, now: float) -> float:
        """Take a token; return how many seconds from now it becomes available."""
        self._paid_until = max(now, self._paid_until) + self._interval
        return max(0.0, self._paid_until - now - self._depth)

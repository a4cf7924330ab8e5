"""When the progress of a rollout is worth a status.

Every change is in flight for a moment, and with a hundred members each arrival would be worth a write. So the
members that lag are reported after a delay, and then less and less often; not while members make progress;
and neither a lag nor an arrival is reported for some time while Karmada is busy.

No I/O and no clock: callers pass the time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from towpath.controller.rollout.load import Load
from towpath.model.keys import ServiceKey

LAG_DELAYS_SECONDS = (1.0, 2.0, 5.0, 10.0)
"""The time before a lag is first reported, and before each further report; the last delay repeats."""
BUSY_STEPS = 2
"""Delays that are skipped while Karmada is busy."""
BINDING_GRACE_SECONDS = 3.0
"""The time that Karmada has to bind an export before the status says that it has not. It usually takes a
tenth of one second if a policy exists, and longer among many exports that are created at once."""
MAX_LAG_DELAY_SECONDS, MAX_BUSY_LAG_DELAY_SECONDS = 120.0, 300.0
"""The longest time for which a lag is not reported while members make progress: usually, and while Karmada is
busy. Then most services only wait for their turn, and their arrival is the next that there is to say."""
ARRIVAL_DELAY_SECONDS, ARRIVAL_CHECK_SECONDS = 30.0, 5.0
"""The longest time for which an arrival is not reported while Karmada is busy, and how often that is
checked."""


class Turn(NamedTuple):
    """Whether to report now, and when to ask again if nothing changes."""

    is_now: bool
    ask_again: float = math.inf


@dataclass
class _Pending:
    since: float
    reports: int = 0


class StatusThrottle:
    """The services of which something is yet to be reported."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._pending: dict[ServiceKey, _Pending] = {}
        self._arrived: dict[ServiceKey, float] = {}
        """When each service arrived whose arrival is not reported yet."""

    def forget(self, key: ServiceKey) -> None:
        """A service no longer exists."""
        self._pending.pop(key, None)
        self._arrived.pop(key, None)
        self._load.leave_unbound(key)

    def unbound(self, key: ServiceKey, since: float | None, now: float) -> float:
        """Return until when it is too early to report that Karmada has not bound an export.

        Infinity if it is time. ``since`` is when the export began to change, None if that is not known.
        """
        if since is not None:
            self._load.unbound.add(key)
            until = since + BINDING_GRACE_SECONDS * self._load.pace
            if now < until:
                return until
        self._load.leave_unbound(key)
        return math.inf

    def bound(self, key: ServiceKey, since: float | None, now: float) -> None:
        """Karmada has bound an export, and members have it."""
        self._load.leave_unbound(key, None if since is None else now - since)

    def begin(self, key: ServiceKey, now: float) -> None:
        """A new rollout begins. A service that changes again and again is reported all the same."""
        self._arrived.pop(key, None)
        known = self._pending.get(key)
        since = now if known is None else min(self._due(known) - self._delay(0), now)
        self._pending[key] = _Pending(since)

    def lags(self, key: ServiceKey, now: float, *, at_once: bool) -> Turn:
        """Judge whether to report the members that lag."""
        pending = self._pending[key]
        is_now = at_once or now >= self._due(pending)
        if is_now:
            pending.reports, pending.since = pending.reports + 1, now
        return Turn(is_now, self._due(pending))

    def arrived(self, key: ServiceKey, now: float, *, is_news: bool) -> Turn:
        """Judge whether to report that every importer holds its view."""
        self._pending.pop(key, None)
        if is_news:
            self._arrived[key] = now
        if self._load.is_busy and now < self._arrived.get(key, -math.inf) + ARRIVAL_DELAY_SECONDS:
            return Turn(is_now=False, ask_again=now + ARRIVAL_CHECK_SECONDS)
        self._arrived.pop(key, None)
        return Turn(is_now=True)

    def _due(self, pending: _Pending) -> float:
        """Return when to report a lag: not while members make progress, up to a limit."""
        longest = MAX_BUSY_LAG_DELAY_SECONDS if self._load.is_busy else MAX_LAG_DELAY_SECONDS
        progress = min(self._load.progress + LAG_DELAYS_SECONDS[0], pending.since + longest)
        return max(pending.since + self._delay(pending.reports), progress)

    def _delay(self, reports: int) -> float:
        """Return the time without a report after so many of them."""
        step = reports + (BUSY_STEPS if self._load.is_busy else 0)
        return LAG_DELAYS_SECONDS[min(step, len(LAG_DELAYS_SECONDS) - 1)] * self._load.pace

"""Whether members hold what was derived for them, and what to do about one that does not.

Convergence is what members report, not what Karmada says that it sent (facts T3, T6, T13, T15): each
member's copy carries the digest of its view, Karmada reflects that into the ServiceImport's binding, and the
digest there is compared with the one derived. A Ready member that stays behind gets one touch of the
template, after which Karmada works through its binding anew; that cures a scheduler that gave up (T2), a
write that timed out (T13) and an override that came too early (T15). Each further touch waits longer.

A Karmada that has much to do is left to it, or touches and statuses would be what it has to do: each makes it
look at the whole template (measured: they made a burst of 100 exports a fifth slower). While members report
that they get on, nothing is touched but what has long been overtaken by changes that came after it, and
neither who still lags nor that all has arrived is told for a while.

No I/O and no clock of its own: ``look`` is told everything and keeps only since when a service lags.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from towpath.model.keys import ServiceKey

PATIENCE = (3.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds before the first touch and each that follows; the last goes on for ever."""
TELLING = (1.0, 2.0, 5.0, 10.0)
"""Seconds before the first time that it is told who lags, and each that follows: a change is on its way as a
matter of course, and of a hundred members each would else be worth a write."""
BUSY = 2
"""Steps of ``TELLING`` that are left out while Karmada is busy."""
BINDING = 3.0
"""Seconds that Karmada is given to bind an export before it is told that it has not; it takes a tenth of one
if a policy is there, and more among many exports that are made at once."""
MANY = 20
"""Services on their way before Karmada counts as busy: what can wait does."""
LONGEST = 120.0
"""Seconds that who lags waits at most to be told while members get on."""
QUIET, AGAIN = 30.0, 5.0
"""Seconds that an arrival waits at most to be told while Karmada is busy, and between two looks at that."""
SLOWEST = 20.0
"""The most that patience is multiplied by for what is on its way."""


class Seen(NamedTuple):
    """Who lags behind, whether to touch the template now, and when to look again if nothing is heard.

    ``is_moving`` while it is too early to say so, to say it again, or that all is well. ``took`` is how many
    seconds it took until nobody lags any more, None if that is no news.
    """

    behind: tuple[str, ...] = ()
    touch: bool = False
    look_again: float = math.inf
    took: float | None = None
    is_moving: bool = False


@dataclass
class _Lag:
    wanted: Mapping[str, str]
    since: float
    patient_since: float
    quiet_since: float
    written: float
    told: int = 0
    touches: int = 0
    behind: tuple[str, ...] = ()


def behind(wanted: Mapping[str, str], held: Mapping[str, str]) -> tuple[str, ...]:
    """Return the clusters, sorted, that do not hold the view that is derived for them, by its digest."""
    return tuple(sorted(name for name, digest in wanted.items() if held.get(name) != digest))


class Convergence:
    """The services that lag behind."""

    def __init__(self) -> None:
        self._lags: dict[ServiceKey, _Lag] = {}
        self._unbound: set[ServiceKey] = set()
        self._untold: dict[ServiceKey, float] = {}
        """When each service arrived of which that has not been told."""
        self._progress = -math.inf
        """When a member last got what it lacked."""
        self._arrived = -math.inf
        """Of the changes that are everywhere, when the latest was written."""

    def __len__(self) -> int:
        return len(self._lags)

    @property
    def is_busy(self) -> bool:
        """Whether so much is on its way that every further write would make it slower."""
        return self.pace > 1

    @property
    def pace(self) -> float:
        """How much longer than usual nothing is told, for all that is on its way."""
        return min(max(1.0, (len(self._lags) + len(self._unbound)) / MANY), SLOWEST)

    @property
    def behind(self) -> Mapping[str, int]:
        """The number of services that each cluster lags behind with, as last seen."""
        return Counter(name for lag in self._lags.values() for name in lag.behind)

    @property
    def lagging(self) -> tuple[ServiceKey, ...]:
        """The services of which some cluster lags behind."""
        return tuple(self._lags)

    def forget(self, key: ServiceKey) -> None:
        """A service is gone."""
        self._lags.pop(key, None)
        self._untold.pop(key, None)
        self._unbound.discard(key)

    def unbound(self, key: ServiceKey, since: float | None, now: float) -> float:
        """Return until when it is too early to say of an export that Karmada has bound it nowhere.

        Infinity if it is time. ``since`` is when the export began to change, None if that is not known.
        """
        if since is not None:
            self._unbound.add(key)
            until = since + BINDING * self.pace
            if now < until:
                return until
        self._unbound.discard(key)
        return math.inf

    def bound(self, key: ServiceKey) -> None:
        """Karmada has bound an export."""
        self._unbound.discard(key)

    def look(
        self,
        key: ServiceKey,
        wanted: Mapping[str, str],
        held: Mapping[str, str],
        lost: Collection[str],
        now: float,
        since: float | None = None,
        *,
        claimed: bool = False,
    ) -> Seen:
        """Compare the digests derived for the clusters with those they report; ``lost`` can't be reached.

        ``claimed``: another policy than ours has the template, so it goes where that says (facts T8). A touch
        takes that away, and nothing is gained by waiting. ``since`` is when the change was seen that made
        them what they are, None if that is not known.
        """
        lagging = behind(wanted, held)
        lag = self._lags.get(key)
        if lag and len(lagging) < len(lag.behind):
            self._progress = now
        if not lagging and not claimed:
            self._lags.pop(key, None)
            if lag:
                self._arrived = max(self._arrived, lag.written)
                self._untold[key] = now
            took = now - lag.since if lag else None
            if self.is_busy and now < self._untold.get(key, -math.inf) + QUIET:
                return Seen(took=took, look_again=now + AGAIN, is_moving=True)
            self._untold.pop(key, None)
            return Seen(took=took)
        self._untold.pop(key, None)
        if lag is None or lag.wanted != wanted:
            # What changes again and again is told of all the same.
            quiet = now if lag is None else min(self._tell_at(lag) - self._quiet(0), now)
            began = now if since is None else since
            lag = self._lags[key] = _Lag(dict(wanted), began, now, quiet, now)
        lag.behind = lagging
        if not claimed and all(name in lost for name in lagging):
            return Seen(lagging)  # its return is an event
        is_moving = now < self._tell_at(lag) and not claimed
        if not is_moving:
            lag.told, lag.quiet_since = lag.told + 1, now
        touch = now >= self._due(lag, claimed)
        if touch:
            lag.touches, lag.patient_since = lag.touches + 1, now
        return Seen(lagging, touch, min(self._due(lag, claimed), self._tell_at(lag)), is_moving=is_moving)

    def _tell_at(self, lag: _Lag) -> float:
        """Return when to tell who lags, as things are: not while members get on, or after ``LONGEST``."""
        later = min(self._progress + TELLING[0], lag.quiet_since + LONGEST)
        return max(lag.quiet_since + self._quiet(lag.told), later)

    def _quiet(self, told: int) -> float:
        """Return for how long nothing is told after so many times."""
        step = told + (BUSY if self.is_busy else 0)
        return TELLING[min(step, len(TELLING) - 1)] * self.pace

    def _due(self, lag: _Lag, claimed: bool) -> float:
        """Return when to touch, as things are."""
        patience = PATIENCE[min(lag.touches, len(PATIENCE) - 1)]
        if claimed:
            return lag.patient_since + (patience if lag.touches else 0)
        due, turn = lag.patient_since + patience * self.pace, PATIENCE[0] * self.pace
        return due if self._arrived >= lag.written + turn else max(due, self._progress + turn)

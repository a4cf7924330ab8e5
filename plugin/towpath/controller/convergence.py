"""Whether members hold what was derived for them, and what to do about one that does not.

Convergence is what members report, not what Karmada says that it sent (facts T3, T6, T13, T15): each
member's copy carries the digest of its view, Karmada reflects that into the ServiceImport's binding, and the
digest there is compared with the one derived. A Ready member that stays behind gets one touch of the
template, after which Karmada works through its binding anew; that cures a scheduler that gave up (T2), a
write that timed out (T13) and an override that came too early (T15). Each further touch waits longer.

A Karmada that has much to do is left to it, or the touches would be what it has to do: while members report
that they get on, nothing is touched but what has been overtaken by changes that came after it.

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


MANY = 20
"""Services that lag at the same time before Karmada counts as busy: what can wait does."""


class Seen(NamedTuple):
    """Who lags behind, whether to touch the template now, and when to look again if nothing is heard.

    ``is_moving`` while it is too early to say so, or to say it again. ``took`` is how many seconds it took
    until nobody lags any more, None if that is no news.
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
    due: float
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
        self._progress = -math.inf
        """When a member last got what it lacked."""
        self._arrived = -math.inf
        """Of the changes that are everywhere, when the latest was written."""

    def __len__(self) -> int:
        return len(self._lags)

    @property
    def is_busy(self) -> bool:
        """Whether so much is on its way that every further write would make it slower."""
        return len(self._lags) > MANY

    @property
    def _pace(self) -> float:
        """How much longer than usual nothing is told, for all that lags."""
        return max(1.0, len(self._lags) / MANY)

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
            self._arrived = max(self._arrived, lag.written if lag else self._arrived)
            return Seen(took=now - lag.since if lag else None)
        if lag is None or lag.wanted != wanted:
            # What changes again and again is told of all the same.
            quiet = now if lag is None else min(self._tell_at(lag) - TELLING[0] * self._pace, now)
            began = now if since is None else since
            due = now if claimed else now + PATIENCE[0]
            lag = self._lags[key] = _Lag(dict(wanted), began, due, quiet, now)
        lag.behind = lagging
        if not claimed and all(name in lost for name in lagging):
            return Seen(lagging)  # its return is an event
        is_moving = now < self._tell_at(lag) and not claimed
        if not is_moving:
            lag.told, lag.quiet_since = lag.told + 1, now
        touch = now >= self._due(lag, claimed)
        if touch:
            lag.touches += 1
            lag.due = now + PATIENCE[min(lag.touches, len(PATIENCE) - 1)]
        return Seen(lagging, touch, min(self._due(lag, claimed), self._tell_at(lag)), is_moving=is_moving)

    def _tell_at(self, lag: _Lag) -> float:
        """Return when to tell who lags, as things are."""
        return lag.quiet_since + TELLING[min(lag.told, len(TELLING) - 1)] * self._pace

    def _due(self, lag: _Lag, claimed: bool) -> float:
        """Return when to touch, as things are."""
        if claimed or self._arrived >= lag.written + PATIENCE[0]:
            return lag.due
        return max(lag.due, self._progress + PATIENCE[0])

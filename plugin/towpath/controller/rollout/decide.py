"""Whether members hold what was derived for them, and what to do about one that does not.

Convergence is what members report, not what Karmada says that it sent (facts T3, T6, T13, T15): each
member's copy carries the digest of its view, Karmada reflects that into the ServiceImport's binding, and the
digest there is compared with the one derived. A Ready member that stays behind gets one touch of the
template, after which Karmada works through its binding anew; that cures a scheduler that gave up (T2), a
write that timed out (T13) and an override that came too early (T15). Each further touch waits longer.

While members report that they get on, nothing is touched but what has long been overtaken by changes that
came after it: the rest is only waiting for its turn (``underway``). When all this is told is for ``telling``.

No I/O and no clock of its own: ``look`` is told everything and keeps only since when a service lags.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from towpath.controller.backoff import PATIENCE, Patience
from towpath.controller.rollout.load import Underway
from towpath.controller.rollout.throttle import Telling
from towpath.model.keys import ServiceKey


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
    """``since`` is when what is wanted began to be, ``written`` when it was first seen to lag."""

    wanted: Mapping[str, str]
    since: float
    written: float
    patience: Patience
    behind: tuple[str, ...] = ()


def behind(wanted: Mapping[str, str], held: Mapping[str, str]) -> tuple[str, ...]:
    """Return the clusters, sorted, that do not hold the view that is derived for them, by its digest."""
    return tuple(sorted(name for name, digest in wanted.items() if held.get(name) != digest))


class Convergence:
    """The services that lag behind."""

    def __init__(self, underway: Underway, telling: Telling) -> None:
        self._underway, self._telling = underway, telling
        self._lags: dict[ServiceKey, _Lag] = {}
        self._arrived = -math.inf
        """Of the changes that are everywhere, when the latest was written."""

    @property
    def behind(self) -> Mapping[str, int]:
        """The number of services that each cluster lags behind with, as last seen."""
        return Counter(name for lag in self._lags.values() for name in lag.behind)

    @property
    def lagging(self) -> tuple[ServiceKey, ...]:
        """The services of which some cluster lags behind."""
        return tuple(self._lags)

    def forget(self, key: ServiceKey) -> None:
        """A service is gone, or lags no more."""
        self._lags.pop(key, None)
        self._underway.lagging.discard(key)

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
            self._underway.progress = now
        if not lagging and not claimed:
            return self._all_there(key, lag, now)
        if lag is None or lag.wanted != wanted:
            lag = self._begin(key, wanted, now, since)
        lag.behind = lagging
        if not claimed and all(name in lost for name in lagging):
            return Seen(lagging)  # its return is an event
        told = self._telling.lags(key, now, at_once=claimed)
        touch = now >= self._due(lag, claimed)
        if touch:
            lag.patience.touched(now)
        look_again = min(self._due(lag, claimed), told.ask_again)
        return Seen(lagging, touch, look_again, is_moving=not told.is_now)

    def _begin(self, key: ServiceKey, wanted: Mapping[str, str], now: float, since: float | None) -> _Lag:
        began = now if since is None else since
        lag = self._lags[key] = _Lag(dict(wanted), began, now, Patience(now))
        self._underway.lagging.add(key)
        self._telling.begin(key, now)
        return lag

    def _all_there(self, key: ServiceKey, lag: _Lag | None, now: float) -> Seen:
        self.forget(key)
        if lag is not None:
            self._arrived = max(self._arrived, lag.written)
        told = self._telling.arrived(key, now, is_news=lag is not None)
        took = None if lag is None else now - lag.since
        return Seen(took=took, look_again=told.ask_again, is_moving=not told.is_now)

    def _due(self, lag: _Lag, claimed: bool) -> float:
        """Return when to touch, as things are."""
        if claimed:
            return lag.patience.due() if lag.patience.touches else lag.patience.since
        pace = self._underway.pace
        due, turn = lag.patience.due(pace), PATIENCE[0] * pace
        return due if self._arrived >= lag.written + turn else max(due, self._underway.progress + turn)

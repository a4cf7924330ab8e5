"""Whether members hold what was derived for them, and when to touch the template of one that does not.

``arrival`` finds what members report. A Ready member that lags gets one touch of the template, after which
Karmada processes the binding again; that cures a scheduler that gave up (terminal NoClusterFit), a write that
timed out (lost write) and an override that came too early (early override). Each further touch waits longer.

While members make progress nothing is touched, except what changes have overtaken that came later than
Karmada takes at the time: the rest only waits for its turn. ``throttle`` decides when all this is reported.

No I/O and no clock: callers pass everything, and only the lags are remembered.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from towpath.controller.backoff import TOUCH_DELAYS_SECONDS, Backoff
from towpath.controller.rollout.arrival import behind
from towpath.controller.rollout.load import Load
from towpath.controller.rollout.throttle import StatusThrottle
from towpath.model.keys import ServiceKey

REFLECTION_GRACE_SECONDS = 5.0
"""The time until the first digest of any member, before the status says that none is reported."""


class Rollout(NamedTuple):
    """The members that lag, whether to touch the template now, and when to look again if nothing changes.

    ``hold_status``: it is too early to report this, or to report it again. ``seconds`` is how long it took
    until no member lagged any more, None unless that has just happened.
    """

    behind: tuple[str, ...] = ()
    touch: bool = False
    look_again: float = math.inf
    seconds: float | None = None
    hold_status: bool = False


@dataclass
class _Lag:
    """``since`` is when the wanted digests began to be wanted, ``written`` when the lag was first seen.

    ``waited``: only lost members lagged at some time, so how long it takes says nothing about Karmada.
    """

    wanted: Mapping[str, str]
    since: float
    written: float
    backoff: Backoff
    behind: tuple[str, ...] = ()
    waited: bool = False

    def took(self, now: float) -> float | None:
        """Return how long Karmada took, if it was Karmada's time."""
        return None if self.waited or self.backoff.touches else now - self.written


class Rollouts:
    """The services of which some member lags."""

    def __init__(self, load: Load, throttle: StatusThrottle) -> None:
        self._load, self._throttle = load, throttle
        self._lags: dict[ServiceKey, _Lag] = {}
        self._unreflected: dict[ServiceKey, float] = {}
        """Since when each service waits for the first digest of any member."""
        self._arrived = -math.inf
        """Of the changes that have arrived everywhere, when the latest was written."""

    @property
    def behind(self) -> Mapping[str, int]:
        """The number of services that each cluster lags with, as last seen."""
        return Counter(name for lag in self._lags.values() for name in lag.behind)

    def pending_since(self, key: ServiceKey) -> float | None:
        """Return since when members lag with a service, None if none does."""
        lag = self._lags.get(key)
        return None if lag is None else lag.since

    @property
    def lagging(self) -> tuple[ServiceKey, ...]:
        """The services of which some cluster lags."""
        return tuple(self._lags)

    def forget(self, key: ServiceKey) -> None:
        """A service no longer exists."""
        self._unreflected.pop(key, None)
        self._settle(key)

    def _settle(self, key: ServiceKey, seconds: float | None = None) -> None:
        self._lags.pop(key, None)
        self._load.leave_lagging(key, seconds)

    def look(
        self,
        key: ServiceKey,
        wanted: Mapping[str, str],
        reported: Mapping[str, str],
        lost: Collection[str],
        now: float,
        since: float | None = None,
        *,
        claimed: bool = False,
        writing: bool = False,
        reflecting: bool = True,
    ) -> Rollout:
        """Compare the digests that are derived for the clusters with those that they report.

        ``lost`` clusters are not reachable, or a policy of the user decides what they get. ``since`` is when
        the change was seen that led to ``wanted``, None if that is not known. ``claimed``: another policy has
        claimed the template, so it goes where that policy says (sticky claims); a touch removes the claim,
        and waiting gains nothing. ``writing``: the same pass writes objects, so the time until a touch begins
        now. ``reflecting``: members report digests at all; until the first one does nothing is touched, and
        nothing is reported for a while.
        """
        lagging = behind(wanted, reported)
        lag = self._lags.get(key)
        if lag and len(lagging) < len(lag.behind):
            self._load.progress = now
        if not lagging and not claimed:
            return self._all_arrived(key, lag, now)
        if lag is None or lag.wanted != wanted:
            lag = self._begin(key, wanted, now, since)
        elif writing:
            lag.backoff.since = now
        lag.behind = lagging
        if not reflecting and not claimed:
            since_first = self._unreflected.setdefault(key, now)
            until = since_first + REFLECTION_GRACE_SECONDS * self._load.pace
            return Rollout(lagging, look_again=until, hold_status=True) if now < until else Rollout(lagging)
        if not claimed and all(name in lost for name in lagging):
            lag.waited = True
            return Rollout(lagging)  # their return touches the service
        turn = self._throttle.lags(key, now, at_once=claimed)
        touch = now >= self._due(lag, claimed)
        if touch:
            lag.backoff.touched(now)
        look_again = min(self._due(lag, claimed), turn.ask_again)
        return Rollout(lagging, touch, look_again, hold_status=not turn.is_now)

    def _begin(self, key: ServiceKey, wanted: Mapping[str, str], now: float, since: float | None) -> _Lag:
        began = now if since is None else since
        lag = self._lags[key] = _Lag(dict(wanted), began, now, Backoff(now))
        self._load.lagging.add(key)
        self._throttle.begin(key, now)
        return lag

    def _all_arrived(self, key: ServiceKey, lag: _Lag | None, now: float) -> Rollout:
        self._settle(key, lag.took(now) if lag else None)
        if lag is not None:
            self._arrived = max(self._arrived, lag.written)
        turn = self._throttle.arrived(key, now, is_news=lag is not None)
        seconds = None if lag is None else now - lag.since
        return Rollout(seconds=seconds, look_again=turn.ask_again, hold_status=not turn.is_now)

    def _due(self, lag: _Lag, claimed: bool) -> float:
        """Return when to touch, as things are."""
        if claimed:
            return lag.backoff.due() if lag.backoff.touches else lag.backoff.since
        pace, turn = self._load.pace, TOUCH_DELAYS_SECONDS[0]
        due = lag.backoff.due(pace)
        if self._arrived >= lag.written + turn * pace:
            return due
        return max(due, self._load.progress + turn * self._load.busy_pace)

"""Whether members hold what was derived for them, and what to do about one that does not.

Convergence is what members report, not what Karmada says that it sent (facts T3, T6, T13, T15): each
member's copy carries the digest of its view, Karmada reflects that into the ServiceImport's binding, and the
digest there is compared with the one derived. A Ready member that stays behind gets one touch of the
template, after which Karmada works through its binding anew; that cures a scheduler that gave up (T2), a
write that timed out (T13) and an override that came too early (T15). Each further touch waits longer.

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


class Seen(NamedTuple):
    """Who lags behind, whether to touch the template now, and when to look again if nothing is heard.

    ``took`` is how many seconds it took until nobody lags any more, None if that is no news.
    """

    behind: tuple[str, ...] = ()
    touch: bool = False
    look_again: float = math.inf
    took: float | None = None


@dataclass
class _Lag:
    wanted: Mapping[str, str]
    since: float
    due: float
    touches: int = 0
    behind: tuple[str, ...] = ()


def behind(wanted: Mapping[str, str], held: Mapping[str, str]) -> tuple[str, ...]:
    """Return the clusters, sorted, that do not hold the view that is derived for them, by its digest."""
    return tuple(sorted(name for name, digest in wanted.items() if held.get(name) != digest))


class Convergence:
    """The services that lag behind."""

    def __init__(self) -> None:
        self._lags: dict[ServiceKey, _Lag] = {}

    def __len__(self) -> int:
        return len(self._lags)

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
    ) -> Seen:
        """Compare the digests derived for the clusters with those they report; ``lost`` can't be reached."""
        lagging = behind(wanted, held)
        lag = self._lags.get(key)
        if not lagging:
            self._lags.pop(key, None)
            return Seen(took=now - lag.since if lag else None)
        if lag is None or lag.wanted != wanted:
            lag = self._lags[key] = _Lag(dict(wanted), now, now + PATIENCE[0])
        lag.behind = lagging
        if all(name in lost for name in lagging):
            return Seen(lagging)  # its return is an event
        if now < lag.due:
            return Seen(lagging, look_again=lag.due)
        lag.touches += 1
        lag.due = now + PATIENCE[min(lag.touches, len(PATIENCE) - 1)]
        return Seen(lagging, touch=True, look_again=lag.due)

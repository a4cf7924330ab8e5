"""When it is worth telling a user how a service arrives in the members.

A change is on its way as a matter of course, and of a hundred members each would else be worth a write. So it
is told after a while who lags, and ever less often; not while members get on; and neither that nor that all
has arrived for some time while Karmada has much to do (``underway``).

No I/O and no clock of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from towpath.controller.rollout.load import Underway
from towpath.model.keys import ServiceKey

TELLING = (1.0, 2.0, 5.0, 10.0)
"""Seconds before the first time that it is told who lags, and each that follows."""
BUSY = 2
"""Steps of ``TELLING`` that are left out while Karmada is busy."""
BINDING = 3.0
"""Seconds that Karmada is given to bind an export before it is told that it has not; it takes a tenth of one
if a policy is there, and more among many exports that are made at once."""
LONGEST = 120.0
"""Seconds that who lags waits at most to be told while members get on."""
QUIET, AGAIN = 30.0, 5.0
"""Seconds that an arrival waits at most to be told while Karmada is busy, and between two looks at that."""


class Turn(NamedTuple):
    """Whether it is told now, and when to ask again if nothing is heard."""

    is_now: bool
    ask_again: float = math.inf


@dataclass
class _Quiet:
    since: float
    told: int = 0


class Telling:
    """The services of which something is yet to be told."""

    def __init__(self, underway: Underway) -> None:
        self._underway = underway
        self._quiet: dict[ServiceKey, _Quiet] = {}
        self._arrived: dict[ServiceKey, float] = {}
        """When each service arrived of which that has not been told."""

    def forget(self, key: ServiceKey) -> None:
        """A service is gone."""
        self._quiet.pop(key, None)
        self._arrived.pop(key, None)
        self._underway.unbound.discard(key)

    def unbound(self, key: ServiceKey, since: float | None, now: float) -> float:
        """Return until when it is too early to say of an export that Karmada has bound it nowhere.

        Infinity if it is time. ``since`` is when the export began to change, None if that is not known.
        """
        if since is not None:
            self._underway.unbound.add(key)
            until = since + BINDING * self._underway.pace
            if now < until:
                return until
        self._underway.unbound.discard(key)
        return math.inf

    def bound(self, key: ServiceKey) -> None:
        """Karmada has bound an export."""
        self._underway.unbound.discard(key)

    def begin(self, key: ServiceKey, now: float) -> None:
        """Something new is on its way; what changes again and again is told of all the same."""
        self._arrived.pop(key, None)
        known = self._quiet.get(key)
        since = now if known is None else min(self._due(known) - self._pause(0), now)
        self._quiet[key] = _Quiet(since)

    def lags(self, key: ServiceKey, now: float, *, at_once: bool) -> Turn:
        """Judge whether to tell who lags with what has begun."""
        quiet = self._quiet[key]
        is_now = at_once or now >= self._due(quiet)
        if is_now:
            quiet.told, quiet.since = quiet.told + 1, now
        return Turn(is_now, self._due(quiet))

    def arrived(self, key: ServiceKey, now: float, *, is_news: bool) -> Turn:
        """Judge whether to tell that everything is where it should be."""
        self._quiet.pop(key, None)
        if is_news:
            self._arrived[key] = now
        if self._underway.is_busy and now < self._arrived.get(key, -math.inf) + QUIET:
            return Turn(is_now=False, ask_again=now + AGAIN)
        self._arrived.pop(key, None)
        return Turn(is_now=True)

    def _due(self, quiet: _Quiet) -> float:
        """Return when to tell who lags, as things are: not while members get on, or after ``LONGEST``."""
        later = min(self._underway.progress + TELLING[0], quiet.since + LONGEST)
        return max(quiet.since + self._pause(quiet.told), later)

    def _pause(self, told: int) -> float:
        """Return for how long nothing is told after so many times."""
        step = told + (BUSY if self._underway.is_busy else 0)
        return TELLING[min(step, len(TELLING) - 1)] * self._underway.pace

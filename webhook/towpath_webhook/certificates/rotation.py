"""When certificates are due, which CAs are trusted and which one signs: pure, of lifetimes and a time.

A CA is replaced when two thirds of its life are over, and so is the certificate to serve with. Both CAs are
trusted for one period then. The new one signs only once every configuration carries it, so nobody is ever
shown a certificate that he cannot check, and the old one goes when it has ended, or when the period is over
and the new one is carried.

Time is the wall clock, looked at again and again: a machine that slept for two months, or whose clock was
set, is right again after the next look. A certificate that has not begun yet is due as well.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass

DAY = dt.timedelta(days=1)
_MOST = 4
"""CAs at once: a clock that jumps about must not fill a Secret."""


@dataclass(frozen=True)
class Times:
    """How long things last."""

    authority: dt.timedelta = 365 * DAY
    serving: dt.timedelta = 30 * DAY
    overlap: dt.timedelta = 30 * DAY
    """For how long a CA is trusted after its successor was made: many looks."""
    look: float = 10.0
    """Seconds between two looks at the clock, the files and the configurations."""


@dataclass(frozen=True)
class Life:
    """A certificate's lifetime; its PEM says which one it is."""

    pem: bytes
    begins: dt.datetime
    ends: dt.datetime

    def is_due(self, now: dt.datetime) -> bool:
        """Tell whether it is time for the next one."""
        return now < self.begins or now >= self.ends - (self.ends - self.begins) / 3


def is_another_needed(authorities: Sequence[Life], now: dt.datetime) -> bool:
    """Tell whether a further CA has to be made; they are in the order of their making."""
    return not authorities or authorities[-1].is_due(now)


def still_trusted(
    authorities: Sequence[Life], now: dt.datetime, carried: Collection[bytes], overlap: dt.timedelta
) -> list[Life]:
    """Return the CAs that stay. ``carried`` are those which every configuration trusts."""

    def is_over(authority: Life, successor: Life) -> bool:
        return now >= authority.ends or (successor.pem in carried and now >= successor.begins + overlap)

    *older, youngest = authorities
    kept = [one for one, successor in zip(older, authorities[1:], strict=True) if not is_over(one, successor)]
    return [*kept, youngest][-_MOST:]


def signer(authorities: Sequence[Life], carried: Collection[bytes], current: bytes | None) -> Life:
    """Return the CA that signs: the youngest that all trust, else the one that signs now, else the oldest."""
    for authority in reversed(authorities):
        if authority.pem in carried:
            return authority
    return next((one for one in authorities if one.pem == current), authorities[0])

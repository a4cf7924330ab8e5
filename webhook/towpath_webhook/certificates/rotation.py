"""When certificates are due, which CAs are trusted and which one signs: pure functions of validities and a
time.

A CA is replaced when two thirds of its validity have passed, and so is the serving certificate. Both CAs are
trusted during an overlap. The new one signs only once every configuration has it, so no client ever receives
a certificate that it cannot verify. The old one is dropped when it has expired, or when the overlap has
passed and the new one is in every configuration.

The wall clock is read again and again: a machine that was suspended for two months, or whose clock was set,
is right after the next reading. A certificate that is not valid yet is due as well."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass

DAY = dt.timedelta(days=1)
_MAX_AUTHORITIES = 4
"""A clock that jumps back and forth must not fill a Secret."""


@dataclass(frozen=True)
class Lifetimes:
    """Validities and intervals."""

    authority: dt.timedelta = 365 * DAY
    serving: dt.timedelta = 30 * DAY
    overlap: dt.timedelta = 30 * DAY
    """For how long a CA is trusted after its successor has been created."""
    interval_seconds: float = 10.0
    """Time between two checks of the clock, the files and the configurations."""


@dataclass(frozen=True)
class Validity:
    """The validity of a certificate, which its PEM identifies."""

    pem: bytes
    begins: dt.datetime
    ends: dt.datetime

    def is_due(self, now: dt.datetime) -> bool:
        """Return whether it is time for a successor."""
        return now < self.begins or now >= self.ends - (self.ends - self.begins) / 3


def is_another_needed(authorities: Sequence[Validity], now: dt.datetime) -> bool:
    """Return whether another CA has to be created; they are in the order of creation."""
    return not authorities or authorities[-1].is_due(now)


def still_trusted(
    authorities: Sequence[Validity], now: dt.datetime, carried: Collection[bytes], overlap: dt.timedelta
) -> list[Validity]:
    """Return the CAs to keep. ``carried`` are those that every configuration has."""

    def is_obsolete(authority: Validity, successor: Validity) -> bool:
        return now >= authority.ends or (successor.pem in carried and now >= successor.begins + overlap)

    *older, youngest = authorities
    kept = [
        authority
        for authority, successor in zip(older, authorities[1:], strict=True)
        if not is_obsolete(authority, successor)
    ]
    return [*kept, youngest][-_MAX_AUTHORITIES:]


def signer(authorities: Sequence[Validity], carried: Collection[bytes], current: bytes | None) -> Validity:
    """Return the CA that signs: the youngest in every configuration, else the present one, else the
    oldest."""
    for authority in reversed(authorities):
        if authority.pem in carried:
            return authority
    return next((authority for authority in authorities if authority.pem == current), authorities[0])

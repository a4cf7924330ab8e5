"""Members that are Ready again: for a while Karmada does not know what they hold (*late cache*).

It then creates what is there already, and reports that the apiserver of the member refuses that. It is its
own object, and the failure passes by itself. What Karmada says of an object that it knows and does not manage
has another text and is always meant.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from towpath.model.cluster import Member

CATCHING_UP_SECONDS = 180.0
"""How long after a member became Ready such a failure is not reported as one.

Karmada's reflectors (client-go reflector.go) connect again after up to a minute, and what has failed for a
minute is tried again after up to 100 s more (exponential from 5 ms, ratelimiterflag in Karmada).
"""
_EXISTS, _EXISTS_UNMANAGED = '" already exists', "already exists in the cluster"
"""The words of an apiserver, and those of Karmada (objectwatcher.go)."""


def is_catching_up(member: Member | None, message: str, now: float) -> bool:
    """Tell whether a failure in a member that is Ready again only says that Karmada does not know it yet."""
    if member is None or member.ready_since is None or _EXISTS not in message:
        return False
    # A clock that lags behind Karmada's must not make it last.
    return _EXISTS_UNMANAGED not in message and abs(now - member.ready_since) < CATCHING_UP_SECONDS


def catching_up(members: Mapping[str, Member], failed: Mapping[str, str], now: float) -> dict[str, float]:
    """Return the members of which Karmada reports such a failure, each with since when it is Ready."""
    found = ((name, members.get(name)) for name, text in failed.items() if _EXISTS in text)
    return {
        name: member.ready_since
        for name, member in found
        if member and member.ready_since is not None and is_catching_up(member, failed[name], now)
    }


def caught_up_at(ready_since: Iterable[float]) -> float:
    """Return when the first of these members has had its time; infinity without any."""
    return min((since + CATCHING_UP_SECONDS for since in ready_since), default=math.inf)

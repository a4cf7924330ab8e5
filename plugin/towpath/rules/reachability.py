"""What becomes of the endpoints of a cluster that Karmada cannot reach ("reachability rule").

Users want both: endpoints of a dead cluster gone, and endpoints of a living one kept while only its
apiserver is upgraded. So the export says which, and when:

* ``Keep``: they stay.
* ``Withdraw``: they go at once, and come back when the cluster is Ready.
* ``WithdrawAfter=<duration>``: they go when the cluster has been lost for that long.

A cluster is withdrawn only if other exporters that can stand in for it, with all its ports and for all its
importers, were still there when its own grace ended. So the last one is never withdrawn, and neither is
anyone when Karmada loses all of them at about the same time: then it is more likely Karmada that is cut
off. It needs no memory: each cluster's loss has a time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from towpath.model.export import WHEN_UNREACHABLE
from towpath.model.times import rfc3339
from towpath.rules.reasons import Advice, Caution

KEEP = math.inf
DEFAULT_GRACE = 300.0
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)", re.ASCII)
_AFTER = "WithdrawAfter="


class Standing(NamedTuple):
    """Who is withdrawn, and when (seconds since 1970) that has to be looked at again."""

    withdrawn: frozenset[str] = frozenset()
    look_again: float = math.inf


def grace(annotation: str) -> float | None:
    """Return the seconds for which a lost cluster's endpoints stay, ``KEEP`` for ever; None if unreadable.

    An empty annotation is the default. Durations are Go's: ``90s``, ``5m``, ``1h30m``.
    """
    match annotation.strip():
        case "":
            return DEFAULT_GRACE
        case "Keep":
            return KEEP
        case "Withdraw":
            return 0.0
        case text if text.startswith(_AFTER):
            return _seconds(text.removeprefix(_AFTER).strip())
    return None


def kept_until(since: float, grace: float) -> str:
    """Return since when a cluster is lost, and until when its grace lasts."""
    return f"since {rfc3339(since)}, kept" + (f" until {rfc3339(since + grace)}" if grace < KEEP else "")


def misspelled(annotation: str) -> Iterator[Caution]:
    """Yield the warning about an annotation that ``grace`` cannot read."""
    if grace(annotation) is None:
        detail = f"{annotation!r}: must be Keep, Withdraw or WithdrawAfter=<duration>"
        yield Caution(Advice.BAD_ANNOTATION, f"metadata.annotations[{WHEN_UNREACHABLE}]", detail)


def _always(_name: str, _others: frozenset[str]) -> bool:
    return True


def standing(
    lost: Mapping[str, float | None],
    grace: float,
    now: float,
    can_go: Callable[[str, frozenset[str]], bool] = _always,
) -> Standing:
    """Judge the exporters of one service. ``lost`` is the time since when each is lost, None if it is not.

    ``can_go(one, others)`` tells whether these others can take the place of the one.
    """
    if grace == KEEP:
        return Standing()
    withdrawn, look_again = set(), math.inf
    for name, since in lost.items():
        if since is None:
            continue
        when = since + grace
        others = frozenset(o for o, gone in lost.items() if o != name and (gone is None or gone > when))
        if not others or not can_go(name, others):
            continue
        if now >= when:
            withdrawn.add(name)
        else:
            look_again = min(look_again, when)
    return Standing(frozenset(withdrawn), look_again)


def _seconds(text: str) -> float | None:
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)

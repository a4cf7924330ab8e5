"""How imports change hands between Towpath and another control plane: the annotations of an export.

Karmada takes over what another control plane has written into a member only where
``towpath.io/conflict-resolution`` allows it. On the way back, ``towpath.io/preserve-imports`` lets a member
keep its import when Karmada does not carry it any more, and ``towpath.io/released`` names the members for
which Towpath derives no import. ``towpath migrate`` sets and removes them in this order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from towpath.model.export import CONFLICT_RESOLUTION, OVERWRITE, PRESERVE_IMPORTS, RELEASED
from towpath.rules.eligibility import is_set, listed, listed_set

_OVERWRITE_IN = f"{OVERWRITE}="


class Handover(NamedTuple):
    """How Karmada treats the imports of one service in members.

    ``overwrites``: what others left is taken over everywhere, and in ``overwrites_in`` only in these members.
    ``preserves``: a member keeps its import when Karmada does not carry it any more.
    """

    overwrites: bool = False
    overwrites_in: frozenset[str] = frozenset()
    preserves: bool = False


NO_HANDOVER = Handover()


def handover(annotations: Mapping[str, str]) -> Handover:
    """Return what the annotations of an export say."""
    resolution = annotations.get(CONFLICT_RESOLUTION, "")
    return Handover(
        resolution == OVERWRITE,
        frozenset(overwritten_in(resolution)),
        is_set(annotations.get(PRESERVE_IMPORTS, "")),
    )


def overwritten_in(resolution: str) -> list[str]:
    """Return the members that ``Overwrite=<clusters>`` names."""
    return listed(resolution.removeprefix(_OVERWRITE_IN)) if resolution.startswith(_OVERWRITE_IN) else []


def overwriting_in(clusters: frozenset[str]) -> str | None:
    """Return the value that names these members; None without any, which means no annotation."""
    return f"{_OVERWRITE_IN}{','.join(sorted(clusters))}" if clusters else None


def released(annotations: Mapping[str, str]) -> frozenset[str]:
    """Return the members whose import is left to another control plane."""
    return listed_set(annotations.get(RELEASED, ""))

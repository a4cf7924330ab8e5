"""How far the imports of one service have arrived in the members."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Unserved(NamedTuple):
    """Why calls to an exporting cluster are not answered, as the data paths of members report it.

    ``callers`` are the importing clusters that it concerns, empty for all. ``since`` is RFC 3339, or empty.
    """

    cluster: str
    reason: str
    callers: tuple[str, ...] = ()
    since: str = ""


@dataclass(frozen=True)
class Arrival:
    """What is known of how the imports of one service arrive in the members.

    ``behind`` are the importers that do not report the view derived for them, ``lost`` the members that
    Karmada cannot reach, and ``failed`` what it says of those that it cannot write to. ``catching_up`` are
    those of them that are Ready again and that Karmada does not know yet, each with since when (seconds since
    1970). ``reported``: members report their views at all. ``taken_by`` is the API version of an import whose
    binding has the name of this one's, ``claimed_by`` a policy that has claimed the import in place of ours,
    and ``overridden`` the user's override policies that change or block the import, by cluster.
    ``unrouted`` are the exporters whose own gateway does not serve the service, with the reason and what is
    known of it, and ``unserved`` those that do not answer calls.
    """

    behind: Collection[str] = ()
    lost: Collection[str] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    catching_up: Mapping[str, float] = field(default_factory=dict)
    reported: bool = True
    taken_by: str = ""
    claimed_by: str = ""
    overridden: Mapping[str, str] = field(default_factory=dict)
    unrouted: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    unserved: tuple[Unserved, ...] = ()

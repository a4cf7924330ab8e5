"""Claims: what only one service can have, and since when one has claimed it."""

from __future__ import annotations

from typing import NamedTuple

EVERYWHERE = ""
"""The cluster of a claim that holds in all clusters."""


class Claim(NamedTuple):
    """Something that only one service can have in a cluster, ``EVERYWHERE`` for the name.

    ``name`` is the name, or a path as ``rules.paths`` compares them; ``kind`` is its pathType.
    """

    cluster: str
    name: str
    kind: str


class ClaimRecord(NamedTuple):
    """One path in the status of a ServiceExport: since when (RFC 3339 in UTC) it is claimed, and where."""

    path: str
    path_type: str
    since: str
    clusters: tuple[str, ...]

"""What a plan is asked for. The plugin hands it to a process of its own, which alone reads manifests."""

from __future__ import annotations

from typing import NamedTuple


class Proposal(NamedTuple):
    """Manifests as a text, and how errors call it."""

    source: str
    text: str

"""A program's own share of a convergence, by the audit log of Karmada's apiserver."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tests.support.audit import Write


@dataclass(frozen=True)
class Share:
    """What a program did between a report of a binding and its own last write, in seconds.

    ``thinking`` is the part of it in which the apiserver had no write of it in hand.
    """

    seconds: float
    thinking: float
    writes: int


def share(writes: Sequence[Write], binding: str, agent: str, names: Collection[str]) -> Share:
    """Return the share of a program that wrote objects of these names after the report of a binding."""
    ours = sorted(
        (
            w
            for w in writes
            if w.agent == agent and w.verb == "patch" and w.name in names and not w.subresource
        ),
        key=lambda w: w.asked,
    )
    reports = (w.answered for w in writes if w.name == binding and w.kind == "resourcebindings/status")
    reported = max(answered for answered in reports if answered < ours[0].asked)
    thinking, free = 0.0, reported
    for write in ours:
        thinking += max(0.0, write.asked - free)
        free = max(free, write.answered)
    return Share(free - reported, thinking, len(ours))

"""A program's own share of a convergence, by the audit log of Karmada's apiserver."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tests.support.audit import Write

SCHEDULER = "karmada-scheduler"
"""User agent of what schedules bindings."""


@dataclass(frozen=True)
class Share:
    """What a program did between a binding's scheduling and its last write, in seconds.

    ``thinking`` is the part of it in which the apiserver had no write of it in hand.
    """

    seconds: float
    thinking: float
    writes: int


def share(writes: Sequence[Write], binding: str, agent: str, names: Collection[str]) -> Share:
    """Return the share of a program that wrote objects of these names after a binding was scheduled."""
    scheduled = next(
        w.answered for w in writes if w.agent == SCHEDULER and w.name == binding and w.subresource == ""
    )
    ours = [w for w in writes if w.agent == agent and w.verb == "patch" and w.name in names]
    thinking, free = 0.0, scheduled
    for write in sorted(ours, key=lambda w: w.asked):
        thinking += max(0.0, write.asked - free)
        free = max(free, write.answered)
    return Share(free - scheduled, thinking, len(ours))

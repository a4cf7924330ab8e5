"""When a derived policy is written, and whether Karmada has noticed that it stepped aside (DESIGN, rule 9).

Users and pipelines apply a template and its policy one after the other, and replace policies by deleting
them first: so a template that no policy selects is given a moment before it gets a derived one. Two policies
that come and go within a second can leave a template with nobody (T8): a policy of the user selects it, and
yet Karmada has not claimed it for that, or for ours that is gone. A touch of the template, without the marks
of any claim, makes Karmada decide anew. Among many templates made at once it is only not their turn yet, and
touches would make that longer: so the more is on its way, the longer each waits.

No I/O and no clock of its own.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from towpath.controller.backoff import Patience

MOMENT = 3.0
"""Seconds that a template waits for a policy of the user."""


class Step(Enum):
    """What to do about a template's derived policy."""

    NOTHING = auto()
    WRITE = auto()
    TOUCH = auto()


class Seen(NamedTuple):
    """What to do now, and when to look again if nothing is heard."""

    step: Step = Step.NOTHING
    look_again: float = math.inf


@dataclass
class _Waiting:
    selected: bool
    patience: Patience

    def due(self, pace: float) -> float:
        """Return when its time is over."""
        return self.patience.due(pace) if self.selected else self.patience.since + MOMENT


class Stepping:
    """The templates that wait for something."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, _Waiting] = {}

    def look(
        self,
        template: Hashable,
        *,
        selected: bool,
        missing: bool,
        claimed: bool,
        now: float,
        pace: float = 1.0,
    ) -> Seen:
        """Judge a template.

        ``selected``: a policy of the user selects it. ``missing``: it should have a derived policy and has
        none. ``claimed``: some policy that is there has it, to Karmada. ``pace`` is how much longer than
        usual things take.
        """
        waits = not claimed if selected else missing
        if not waits:
            self.forget(template)
            return Seen()
        one = self._waiting.get(template)
        if one is None or one.selected != selected:
            one = self._waiting[template] = _Waiting(selected, Patience(now))
        if now < one.due(pace):
            return Seen(look_again=one.due(pace))
        if not selected:
            return Seen(Step.WRITE)
        one.patience.touched(now)
        return Seen(Step.TOUCH, one.due(pace))

    def forget(self, template: Hashable) -> None:
        """A template is gone, or waits for nothing any more."""
        self._waiting.pop(template, None)

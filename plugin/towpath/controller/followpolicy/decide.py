"""When a follow policy is written, and whether Karmada has noticed that it was removed.

Users and pipelines apply a template and its policy one after the other, and replace a policy by deleting it
first: so a template that no policy selects waits a moment before it gets a follow policy. Two policies that
come and go within a second can leave a template unclaimed although a policy of the user selects it (sticky
claims). A touch that removes the claim makes Karmada choose again. Among many templates that are created at
once it is only not their turn yet, so the waiting time grows with the load.

No I/O and no clock: callers pass the time.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from towpath.controller.backoff import Backoff
from towpath.controller.decision import Decision, Step, Touch
from towpath.controller.rollout.load import Load
from towpath.derivation.drift import needs_apply
from towpath.derivation.followpolicy import Object, becoming
from towpath.derivation.stages import Write
from towpath.karmada.client import Resource
from towpath.karmada.wire import Name
from towpath.propagation.claims import Claim

USER_POLICY_GRACE_SECONDS = 3.0
"""The time that a template waits for a policy of the user."""


class Follower(NamedTuple):
    """A template that may need a follow policy.

    ``others`` are the uids of the other API group's objects of this name. ``policy`` is the name of the
    follow policy, and ``live`` that policy if it exists. ``selected``: a policy of a user selects the
    template. ``claim`` is the policy that has claimed it.
    """

    resource: Resource
    name: Name
    others: frozenset[str]
    policy: str
    live: Object | None
    selected: bool
    claim: Claim | None


class Action(Enum):
    """What to do about a template."""

    NOTHING = auto()
    WRITE = auto()
    TOUCH = auto()


@dataclass
class _Waiting:
    selected: bool
    backoff: Backoff

    def due(self, pace: float) -> float:
        """Return when the waiting time ends."""
        return self.backoff.due(pace) if self.selected else self.backoff.since + USER_POLICY_GRACE_SECONDS


class FollowPolicies:
    """The templates that wait for a policy."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._waiting: dict[Hashable, _Waiting] = {}

    def decide(self, follower: Follower, wanted: Object | None, now: float) -> Decision:
        """Bring the follow policy of a template to ``wanted``, None for no policy."""
        live, which = follower.live, (follower.resource, follower.name)
        become = becoming(live, wanted, follower.others, selected=follower.selected)
        own = Claim("PropagationPolicy", follower.name.namespace, follower.policy)
        claimed = follower.claim is not None and (follower.claim != own or live is not None)
        missing = live is None and become is not None
        action, look_again = self.look(
            which, selected=follower.selected, missing=missing, claimed=claimed, now=now
        )
        steps: list[Step] = []
        if action is Action.TOUCH:
            steps.append(
                Touch(*which, "a user policy selects the template and has not claimed it", unclaim=True)
            )
        if needs_apply(live, become) and (not missing or action is Action.WRITE):
            steps.append(Write(live, become))
        return Decision(look_again, steps=tuple(steps))

    def look(
        self, template: Hashable, *, selected: bool, missing: bool, claimed: bool, now: float
    ) -> tuple[Action, float]:
        """Return what to do about a template now, and when to look again if nothing changes.

        ``selected``: a policy of a user selects it. ``missing``: it should have a follow policy and has none.
        ``claimed``: a policy that exists has claimed it.
        """
        waits = not claimed if selected else missing
        if not waits:
            self.forget(template)
            return Action.NOTHING, math.inf
        waiting, pace = self._waiting.get(template), self._load.pace
        if waiting is None or waiting.selected != selected:
            waiting = self._waiting[template] = _Waiting(selected, Backoff(now))
        if now < waiting.due(pace):
            return Action.NOTHING, waiting.due(pace)
        if not selected:
            return Action.WRITE, math.inf
        waiting.backoff.touched(now)
        return Action.TOUCH, waiting.due(pace)

    def forget(self, template: Hashable) -> None:
        """A template no longer exists, or waits for nothing."""
        self._waiting.pop(template, None)

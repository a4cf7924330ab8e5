"""When derived propagation is written, and when Karmada is made to look at a template again."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.support.worlds import KEY
from towpath.controller.backoff import TOUCH_DELAYS_SECONDS
from towpath.controller.decision import Touch
from towpath.controller.followpolicy.decide import (
    USER_POLICY_GRACE_SECONDS,
    Action,
    Follower,
    FollowPolicies,
)
from towpath.controller.rollout.load import SERVICES_WHEN_BUSY, Load
from towpath.karmada import resources
from towpath.karmada.wire import Name
from towpath.propagation.claims import Claim


def looks(
    *moments: float, selected: bool = False, missing: bool = False, claimed: bool = False
) -> list[tuple[Action, float]]:
    follow = FollowPolicies(Load())
    return [
        follow.look("web", selected=selected, missing=missing, claimed=claimed, now=now) for now in moments
    ]


def test_an_unselected_template_gets_a_policy_after_a_delay() -> None:
    assert looks(0.0, USER_POLICY_GRACE_SECONDS - 0.1, USER_POLICY_GRACE_SECONDS, missing=True) == [
        (Action.NOTHING, USER_POLICY_GRACE_SECONDS),
        (Action.NOTHING, USER_POLICY_GRACE_SECONDS),
        (Action.WRITE, math.inf),
    ]


@pytest.mark.parametrize(("selected", "claimed"), [(True, True), (False, False), (False, True)])
def test_nothing_is_done_about_what_is_as_it_should_be(selected: bool, claimed: bool) -> None:
    assert looks(0.0, 1000.0, selected=selected, claimed=claimed) == [(Action.NOTHING, math.inf)] * 2


def test_a_user_policy_that_arrives_soon_is_waited_for() -> None:
    follow = FollowPolicies(Load())
    follow.look("web", selected=False, missing=True, claimed=False, now=0.0)
    follow.look("web", selected=True, missing=False, claimed=True, now=1.0)

    again = follow.look("web", selected=False, missing=True, claimed=False, now=USER_POLICY_GRACE_SECONDS)
    assert again == (Action.NOTHING, 2 * USER_POLICY_GRACE_SECONDS)


def test_an_unclaimed_template_is_touched_ever_less_often() -> None:
    first, second = TOUCH_DELAYS_SECONDS[0], TOUCH_DELAYS_SECONDS[0] + TOUCH_DELAYS_SECONDS[1]

    assert looks(0.0, first, first + 1, second, selected=True) == [
        (Action.NOTHING, first),
        (Action.TOUCH, second),
        (Action.NOTHING, second),
        (Action.TOUCH, second + TOUCH_DELAYS_SECONDS[2]),
    ]


def test_touches_go_on_at_the_longest_pause() -> None:
    follow, now = FollowPolicies(Load()), 0.0
    for _ in range(20):
        _, now = follow.look("web", selected=True, missing=False, claimed=False, now=now)

    step, again = follow.look("web", selected=True, missing=False, claimed=False, now=now)
    assert (step, again - now) == (Action.TOUCH, TOUCH_DELAYS_SECONDS[-1])


def test_under_load_a_selected_template_waits_longer() -> None:
    follow, slow = FollowPolicies(load := Load()), 4.0
    load.lagging.update(KEY._replace(name=f"s{n}") for n in range(int(slow) * SERVICES_WHEN_BUSY))
    selected = {"selected": True, "missing": False, "claimed": False}
    missing = {"selected": False, "missing": True, "claimed": False}
    follow.look("web", **selected, now=0.0)
    follow.look("cart", **missing, now=0.0)

    first = TOUCH_DELAYS_SECONDS[0]
    assert follow.look("web", **selected, now=first) == (Action.NOTHING, slow * first)
    assert follow.look("cart", **missing, now=USER_POLICY_GRACE_SECONDS)[0] is Action.WRITE

    load.lagging.clear()
    assert follow.look("web", **selected, now=first)[0] is Action.TOUCH


OWN, USERS = (Claim("PropagationPolicy", "shop", name) for name in ("towpath-export-web", "all"))
LIVE = {"metadata": {"name": OWN.name, "ownerReferences": [{"uid": "uid"}]}}


@pytest.mark.parametrize(
    ("claim", "live", "touched"),
    [(None, None, True), (OWN, None, True), (OWN, LIVE, False), (USERS, None, False)],
)
def test_a_claim_counts_while_its_policy_exists(
    claim: Claim | None, live: dict[str, Any] | None, touched: bool
) -> None:
    follow = FollowPolicies(Load())
    exports = resources.service_exports(KEY.dialect)
    follower = Follower(exports, Name("shop", "web"), frozenset(), OWN.name, live, True, claim)
    follow.decide(follower, live, now=0.0)
    decision = follow.decide(follower, live, now=TOUCH_DELAYS_SECONDS[0])

    assert [step.unclaim for step in decision.steps if isinstance(step, Touch)] == [True] * touched

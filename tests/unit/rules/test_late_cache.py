"""What Karmada says of a member that is Ready again and that it does not know yet."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from tests.support.worlds import WEB, condition, derived, fleet, member, offered, reasons
from towpath.derivation.derive import derive_service
from towpath.model.cluster import Fleet
from towpath.model.condition import VALID
from towpath.model.times import rfc3339
from towpath.model.world import Absence
from towpath.rules.late_cache import CATCHING_UP_SECONDS, catching_up, caught_up_at
from towpath.rules.reasons import ExclusionReason

READY = 1_800_000_000.0
SOON, LATE = READY + CATCHING_UP_SECONDS - 1, READY + CATCHING_UP_SECONDS
THERE = 'Failed to apply all manifests (0/1): services "web" already exists'
UNMANAGED = "resource(kind=Service, shop/web) already exists in the cluster a and the strategy value is empty"


@pytest.mark.parametrize(
    ("ready_since", "message", "now", "passes"),
    [
        (READY, THERE, READY, True),
        (READY, THERE, SOON, True),
        (READY, THERE, LATE, False),
        (READY, THERE, READY - 1, True),
        (READY, THERE, READY - 3600, False),
        (READY, UNMANAGED, READY, False),
        (READY, 'services "web" is forbidden', READY, False),
        (None, THERE, READY, False),
    ],
    ids=[
        "at once",
        "for a while",
        "not for ever",
        "a clock that lags",
        "a clock that lags by an hour",
        "an object of others",
        "another failure",
        "a member that is not Ready",
    ],
)
def test_a_failure_that_passes_by_itself(
    ready_since: float | None, message: str, now: float, passes: bool
) -> None:
    members = {"a": member("a", ready_since=ready_since), "b": member("b", ready_since=READY)}

    assert catching_up(members, {"a": message, "c": message}, now) == ({"a": READY} if passes else {})


def test_the_first_that_has_had_its_time_counts() -> None:
    assert caught_up_at([READY + 5, READY]) == LATE
    assert caught_up_at([]) == math.inf


@pytest.mark.parametrize(
    ("now", "reason"), [(SOON, ExclusionReason.CATCHING_UP), (LATE, ExclusionReason.APPLY_FAILED)]
)
def test_a_cluster_that_never_exported_is_caught_up_with(now: float, reason: ExclusionReason) -> None:
    offer = replace(WEB, absence=Absence.FAILED, obstacle=f"Service: {THERE}")
    members = {"a": member("a", ready_since=READY), **fleet("b", "c")}

    found = derived({"a": offer, "b": WEB}, members, now)

    assert reasons(found) == {"a": reason}
    late = reason is ExclusionReason.CATCHING_UP
    assert found.excluded["a"].detail == (f"Ready since {rfc3339(READY)}" if late else f"Service: {THERE}")
    assert found.look_again == (LATE if late else math.inf)


FAULT = f"Cluster a keeps an older version and exports it. Service: {THERE}."


@pytest.mark.parametrize(
    ("state", "now", "faults"),
    [
        ({"ready_since": READY}, SOON, ()),
        ({"ready_since": READY}, LATE, (FAULT,)),
        ({"unreachable_since": READY}, LATE, ()),
        ({}, LATE, (FAULT,)),
    ],
    ids=["Ready again", "Ready for long", "lost", "not reported"],
)
def test_an_exporter_that_returns_has_no_fault(
    state: dict[str, Any], now: float, faults: tuple[str, ...]
) -> None:
    """Its loss is reported as such, and its return brings the last version."""
    members = Fleet({"a": member("a", **state), "b": member("b")})
    service = offered({"a": WEB, "b": WEB}, kept={"a": f"Service: {THERE}"})

    found = derive_service(service, members, (), now)

    assert found.exporters == ("a", "b")
    assert found.faults == faults
    assert (FAULT in condition(found, VALID).message) == bool(faults)

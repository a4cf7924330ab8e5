"""When a template is touched whose result is wrong and reported as right."""

from __future__ import annotations

from towpath.controller.backoff import TOUCH_DELAYS_SECONDS
from towpath.controller.decision import Touch
from towpath.controller.rollout.load import MAX_PACE, SERVICES_WHEN_BUSY, Load
from towpath.controller.rollout.touches import AFTER_A_LOST_WRITE, Schedule
from towpath.karmada import resources
from towpath.karmada.wire import Name
from towpath.model.keys import Dialect, ServiceKey

FIRST = TOUCH_DELAYS_SECONDS[0]
SURPLUS = frozenset({"a"})
Placements = Schedule[frozenset[str]]


def touches(schedule: Placements, key: ServiceKey, now: float, surplus: frozenset[str] = SURPLUS) -> int:
    touch = Touch(resources.service_imports(key.dialect), Name(key.namespace, key.name), "")
    return len(schedule.decide(key, surplus, now, now, touch).steps)


def keys(number: int) -> list[ServiceKey]:
    return [ServiceKey(Dialect.FLOMESH, "shop", f"s{i}") for i in range(number)]


def test_many_at_once_wait_longer() -> None:
    """All services of a cluster that stops importing are on their way, and touches make it take longer."""
    schedule, services = Placements(Load()), keys(2 * SERVICES_WHEN_BUSY)
    assert sum(touches(schedule, key, 0.0) for key in services) == 0
    assert sum(touches(schedule, key, FIRST) for key in services) == 0
    assert sum(touches(schedule, key, 2 * FIRST) for key in services) == len(services)


def test_the_last_of_many_waits_no_longer() -> None:
    schedule, (late, *others) = Placements(Load()), keys(100 * SERVICES_WHEN_BUSY)
    for key in (late, *others):
        touches(schedule, key, 0.0)
    assert not touches(schedule, late, (MAX_PACE - 1) * FIRST)
    for key in others:
        touches(schedule, key, 1.0, frozenset())
    assert touches(schedule, late, FIRST)


def test_less_that_is_wrong_gives_no_new_patience() -> None:
    """One of two late members holds the version now; the other one has been touched for already."""
    schedule, (key,) = Schedule[float](Load(), AFTER_A_LOST_WRITE), keys(1)
    touch = Touch(resources.service_exports(key.dialect), Name(key.namespace, key.name), "")
    seen = [(20.0, 20.0), (20.0, 30.0), (10.0, 31.0), (10.0, 59.0), (10.0, 60.0), (61.0, 61.0), (61.0, 71.0)]
    steps = [schedule.decide(key, latest, latest, now, touch).steps for latest, now in seen]

    assert list(map(bool, steps)) == [False, True, False, False, True, False, True]


def test_a_further_cluster_gives_new_patience() -> None:
    schedule, (key,) = Placements(Load()), keys(1)
    both = frozenset({"a", "b"})
    seen = [(SURPLUS, 0.0), (both, FIRST), (SURPLUS, 2 * FIRST), (SURPLUS, 2 * FIRST + 1)]

    assert [touches(schedule, key, now, surplus) for surplus, now in seen] == [0, 0, 1, 0]

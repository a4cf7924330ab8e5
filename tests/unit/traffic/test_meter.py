"""When Prometheus is asked, and how long its answer counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest

from tests.support.waiting import until
from towpath.rules.reasons import TrafficReason
from towpath.traffic import meter as meter_module
from towpath.traffic.meter import MEASURED, Ask, Meter
from towpath.traffic.query import Unmeasured
from towpath.traffic.rates import Measurement, Pair, Rate, Rates

AB = Pair("a", "b")
TIMED_OUT = Unmeasured(TrafficReason.UNREACHABLE, "timed out")


class Answers:
    """Answers with what it is given, the last again and again."""

    def __init__(self, *answers: Rates | Exception) -> None:
        self.answers = list(answers)
        self.members: list[Collection[str]] = []

    async def ask(self, members: Collection[str]) -> Rates:
        self.members.append(members)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter_module, "PERIOD_SECONDS", 0.01)


@asynccontextmanager
async def measuring(ask: Ask) -> AsyncIterator[tuple[Meter, list[str]]]:
    outcomes: list[str] = []
    meter = Meter(ask, lambda: {"a", "b"}, outcomes.append)
    running = asyncio.create_task(meter.run())
    yield meter, outcomes
    assert not running.done()
    running.cancel()
    await asyncio.wait({running})


@contextmanager
def noted(meter: Meter) -> Iterator[list[Measurement]]:
    seen: list[Measurement] = []
    with meter.watching(lambda: seen.append(meter.latest)):
        yield seen


async def reaches(seen: list[Measurement], number: int) -> None:
    async def count() -> int:
        return len(seen)

    await until(count, lambda found: found >= number)


async def test_nobody_watches_and_nobody_asks() -> None:
    answers = Answers({AB: Rate(1.0, 0.0)})
    async with measuring(answers.ask) as (meter, _):
        await asyncio.sleep(0)
        assert not answers.members
        assert meter.latest == Measurement(reason=TrafficReason.NOT_MEASURED_YET)
        with noted(meter) as seen:
            await reaches(seen, 1)
            assert answers.members[0] == {"a", "b"}
            assert (meter.latest.rates, meter.latest.reason) == ({AB: Rate(1.0, 0.0)}, None)
        await asyncio.sleep(0)
        asked = len(answers.members)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(answers.members) <= asked + 1


async def test_without_prometheus_the_traffic_is_unknown() -> None:
    meter = Meter()
    await meter.run()
    with meter.watching(lambda: None):
        assert meter.latest == Measurement(reason=TrafficReason.NO_PROMETHEUS)


async def test_a_failure_does_not_take_the_answer_away_at_once() -> None:
    answers = Answers({AB: Rate(5.0, 0.0)}, TIMED_OUT)
    async with measuring(answers.ask) as (meter, outcomes):
        with noted(meter) as seen:
            await reaches(seen, 1)
            await until(lambda: _value(outcomes), lambda found: found.count("PrometheusUnreachable") > 2)
            assert len(seen) == 1
            assert meter.latest.rates == {AB: Rate(5.0, 0.0)}


async def _value(found: list[str]) -> list[str]:
    return found


async def test_an_old_answer_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter_module, "MAX_AGE_SECONDS", 0.05)
    answers = Answers({AB: Rate(5.0, 0.0)}, TIMED_OUT)
    async with measuring(answers.ask) as (meter, outcomes):
        with noted(meter) as seen:
            await reaches(seen, 2)
            assert seen[1] == Measurement(reason=TrafficReason.UNREACHABLE, detail="timed out")
            answers.answers = [{AB: Rate(7.0, 0.0)}]
            await reaches(seen, 3)
            assert seen[2].rates == {AB: Rate(7.0, 0.0)}
    assert {*outcomes} == {MEASURED, "PrometheusUnreachable"}


async def test_an_answer_that_hangs_counts_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter_module, "MAX_AGE_SECONDS", 0.05)
    asked = 0

    async def hang_later(_: Collection[str]) -> Rates:
        nonlocal asked
        asked += 1
        if asked > 1:
            await asyncio.Event().wait()
        return {AB: Rate(5.0, 0.0)}

    async with measuring(hang_later) as (meter, _):
        with noted(meter) as seen:
            await reaches(seen, 2)
            assert seen[1] == Measurement(reason=TrafficReason.NOT_MEASURED_YET)


async def test_each_failure_is_told_by_its_reason() -> None:
    first, second = Unmeasured(TrafficReason.REFUSED, "HTTP status 403"), Unmeasured(TrafficReason.NO_SERIES)
    async with measuring(Answers(first, first, second).ask) as (meter, outcomes):
        with noted(meter) as seen:
            await reaches(seen, 2)
            assert [(m.reason, m.detail) for m in seen] == [
                (TrafficReason.REFUSED, "HTTP status 403"),
                (TrafficReason.NO_SERIES, ""),
            ]
    assert outcomes[:3] == ["PrometheusRefuses", "PrometheusRefuses", "NoSeries"]


async def test_no_fault_ends_the_plugin() -> None:
    async with measuring(Answers(ZeroDivisionError("odd"), {AB: Rate(1.0, None)}).ask) as (meter, _):
        with noted(meter) as seen:
            await reaches(seen, 2)
            assert seen[0].reason is TrafficReason.INVALID_ANSWER
            assert seen[1].rates == {AB: Rate(1.0, None)}


async def test_noise_is_no_change() -> None:
    answers = Answers({AB: Rate(10.0, 0.0)}, {AB: Rate(10.5, 0.0)}, {AB: Rate(9.6, 0.0)})
    async with measuring(answers.ask) as (meter, _):
        with noted(meter) as seen:
            await reaches(seen, 3)
            assert seen[2].rates is seen[0].rates


async def test_an_answer_that_costs_much_is_followed_by_a_rest() -> None:
    """A tenth of a core is what a Prometheus that sends byte by byte can have."""
    began: list[float] = []

    async def ask(members: Collection[str]) -> Rates:
        began.append(time.monotonic())
        until_spent = time.thread_time() + 0.02
        while time.thread_time() < until_spent:
            pass
        return {}

    async with measuring(ask) as (meter, _):
        with noted(meter) as seen:
            await reaches(seen, 3)
    assert began[2] - began[0] >= 2 * 0.2

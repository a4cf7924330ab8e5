"""Writes: each by one agent, by the next one if that does not, and again after a failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.waiting import until
from towpath.errors import Conflict, Unreachable
from towpath.net import writer as module
from towpath.net.metrics import Metrics
from towpath.net.writer import Write, Writer


class Object:
    """Something that is there or not."""

    def __init__(self, *failures: Exception) -> None:
        self.is_there = False
        self.tries: list[float] = []
        self.failures = list(failures)

    def as_write(self) -> Write:
        return Write("EndpointSlice", "shop/web", lambda: not self.is_there, self.write)

    async def write(self) -> None:
        self.tries.append(asyncio.get_running_loop().time())
        if self.failures:
            raise self.failures.pop(0)
        self.is_there = True


@asynccontextmanager
async def running() -> AsyncIterator[Writer]:
    writer = Writer(Metrics())
    task = asyncio.create_task(writer.run())
    yield writer
    task.cancel()


async def is_there(obj: Object) -> bool:
    return obj.is_there


async def is_idle(writer: Writer) -> bool:
    return not writer._due


async def test_the_first_agent_writes_at_once_and_the_second_one_not() -> None:
    obj = Object()
    async with running() as first, running() as second:
        second.want([obj.as_write()], rank=1)
        first.want([obj.as_write()], rank=0)
        await until(lambda: is_there(obj), bool)
        await until(lambda: is_idle(second), bool)
    assert len(obj.tries) == 1


async def test_the_second_agent_stands_in() -> None:
    obj = Object()
    async with running() as second:
        began = asyncio.get_running_loop().time()
        second.want([obj.as_write()], rank=1)
        await until(lambda: is_there(obj), bool)
    assert obj.tries[0] - began >= module.STEP_SECONDS


async def test_failures_are_tried_again_with_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE", 0.05)
    obj = Object(Unreachable("down"), Conflict("changed", 409), Unreachable("down"))
    async with running() as first:
        first.want([obj.as_write()], rank=0)
        await until(lambda: is_there(obj), bool)
    pauses = [later - earlier for earlier, later in zip(obj.tries, obj.tries[1:], strict=False)]
    assert len(pauses) == 3
    assert all(pause >= 0.05 * 2**n for n, pause in enumerate(pauses))


async def test_an_outdated_object_is_not_written() -> None:
    obj, other = Object(), Object()
    async with running() as second:
        second.want([obj.as_write()], rank=1)
        second.want([Write("ConfigMap", "x", lambda: not other.is_there, other.write)], rank=0)
        await until(lambda: is_there(other), bool)
        await until(lambda: is_idle(second), bool)
    assert obj.tries == []


async def test_the_desired_state_changes_during_a_write() -> None:
    obj, other = Object(), Object()
    async with running() as first:
        began = asyncio.Event()

        async def slow() -> None:
            began.set()
            await asyncio.sleep(0)
            await obj.write()

        first.want([Write("EndpointSlice", "shop/web", lambda: not obj.is_there, slow)], rank=0)
        await began.wait()
        first.want([Write("ConfigMap", "x", lambda: not other.is_there, other.write)], rank=0)
        first.want([obj.as_write(), Write("ConfigMap", "x", lambda: not other.is_there, other.write)], rank=0)
        await until(lambda: is_idle(first), bool)
    assert obj.is_there
    assert other.is_there
    assert len(obj.tries) == 1


async def test_an_object_outdated_before_its_turn_is_not_written() -> None:
    """Many writes become due at once, and the waiting ones are outdated before their turn."""
    objects = [Object() for _ in range(module._AT_ONCE * 2)]
    async with running() as first:
        writes = [Write("EndpointSlice", str(n), lambda: True, obj.write) for n, obj in enumerate(objects)]
        first.want(writes, rank=0)
        await asyncio.sleep(0)
        first.want([], rank=0)
        await until(lambda: is_idle(first), bool)
    assert sum(len(obj.tries) for obj in objects) <= module._AT_ONCE

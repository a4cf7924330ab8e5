"""The queue: a key stands in it once, is worked on once at a time, and comes back after a failure."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.waiting import until
from towpath.controller.token_bucket import TokenBucket
from towpath.controller.workqueue import (
    FIRST_RETRY_SECONDS,
    REPLAY_INTERVAL,
    RETRIES_PER_SECOND,
    RETRY_BURST,
    Queue,
)

SOON = 10.0
"""Seconds. What comes at once comes within them, on a busy machine too."""


async def taken(queue: Queue[str], number: int) -> list[str]:
    """Take so many keys, and be done with each."""
    keys = []
    for _ in range(number):
        keys.append(await asyncio.wait_for(queue.get(), SOON))
        queue.done(keys[-1])
    return keys


async def test_a_key_stands_once() -> None:
    queue: Queue[str] = Queue()
    for key in ("a", "b", "a"):
        queue.add(key)

    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert len(queue) == 0


async def test_a_key_added_during_work_is_due_again_but_only_after_it() -> None:
    queue: Queue[str] = Queue()
    queue.add("a")
    key = await queue.get()

    queue.add("a")
    queue.add("a")
    assert len(queue) == 0

    queue.done(key)
    assert len(queue) == 1


async def test_getting_waits_for_a_key() -> None:
    queue: Queue[str] = Queue()
    getting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    assert not getting.done()

    queue.add("a")

    assert await asyncio.wait_for(getting, SOON) == "a"


async def test_every_waiting_worker_gets_a_key() -> None:
    queue: Queue[int] = Queue()
    workers = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)

    for key in range(3):
        queue.add(key)

    assert sorted(await asyncio.wait_for(asyncio.gather(*workers), SOON)) == [0, 1, 2]


async def test_a_failed_key_is_retried_with_growing_pauses() -> None:
    queue: Queue[str] = Queue()
    queue.add("a")
    pauses = [queue.failed(await asyncio.wait_for(queue.get(), SOON)) for _ in range(2)]
    queue.done(await asyncio.wait_for(queue.get(), SOON))
    queue.add("a")
    pauses.append(queue.failed(await queue.get()))

    assert pauses == [FIRST_RETRY_SECONDS, 2 * FIRST_RETRY_SECONDS, FIRST_RETRY_SECONDS]


async def test_a_change_after_the_start_does_not_wait_for_the_replay() -> None:
    queue: Queue[str] = Queue()
    for number in range(1000):
        queue.add(f"old-{number:03}")
    queue.put_behind()

    queue.add("new")
    queue.add("old-999")

    assert await taken(queue, 3) == ["new", "old-999", "old-000"]
    assert len(queue) == 998


async def test_workers_with_nothing_to_wait_for_leave_turns_to_others() -> None:
    """What others see: the queue shrinks by one key in a turn of theirs, however many workers there are."""
    queue: Queue[int] = Queue()
    for key in range(20):
        queue.add(key)
    workers = [asyncio.create_task(_work(queue)) for _ in range(8)]
    seen = [len(queue)]
    while seen[-1]:
        await asyncio.sleep(0)
        seen.append(len(queue))
    for worker in workers:
        worker.cancel()

    assert max(before - after for before, after in itertools.pairwise(seen)) == 1


async def _work(queue: Queue[int]) -> None:
    while True:
        queue.done(await queue.get())


async def test_a_replay_ends_however_much_changes() -> None:
    queue: Queue[str] = Queue()
    for number in range(3):
        queue.add(f"old-{number}")
    queue.put_behind()
    keys: list[str] = []
    while len(keys) < 3 * REPLAY_INTERVAL:
        queue.add(f"new-{len(keys)}")
        keys += await taken(queue, 1)

    assert [key for key in keys if key.startswith("old")] == ["old-0", "old-1", "old-2"]


async def test_a_replayed_key_that_fails_comes_back_to_its_place() -> None:
    queue: Queue[str] = Queue()
    queue.add("old")
    queue.put_behind()
    queue.failed(await queue.get())

    async def length() -> int:
        return len(queue)

    await until(length, lambda due: due == 1)
    queue.add("new")

    assert await taken(queue, 2) == ["new", "old"]


async def test_a_replay_ends_when_each_key_is_done_or_has_changed() -> None:
    queue: Queue[str] = Queue()
    for key in ("fails", "changes", "is done"):
        queue.add(key)
    queue.put_behind()
    through = asyncio.create_task(queue.replayed())
    queue.failed(await queue.get())
    queue.add("changes")
    assert await taken(queue, 2) == ["changes", "is done"]
    assert not through.done()

    assert await taken(queue, 1) == ["fails"]
    await asyncio.wait_for(through, SOON)


async def test_a_replayed_key_that_changes_is_a_new_key() -> None:
    queue: Queue[str] = Queue()
    queue.add("old")
    queue.add("older")
    queue.put_behind()
    key = await queue.get()
    queue.add(key)
    queue.done(key)

    assert await taken(queue, 2) == ["old", "older"]


async def test_of_several_times_to_come_back_the_earliest_counts() -> None:
    queue: Queue[str] = Queue()
    began = asyncio.get_running_loop().time()
    for pause in (60.0, 0.01, 30.0):
        queue.add_later("a", pause)

    assert await taken(queue, 1) == ["a"]
    assert asyncio.get_running_loop().time() - began < SOON
    assert len(queue._later) == 0


async def test_many_that_fail_at_once_do_not_come_back_at_once() -> None:
    queue: Queue[int] = Queue()
    pauses = []
    for key in range(2 * RETRY_BURST):
        queue.add(key)
        pauses.append(queue.failed(await queue.get()))

    assert pauses[0] == FIRST_RETRY_SECONDS
    assert pauses[-1] == pytest.approx(RETRY_BURST / RETRIES_PER_SECOND, rel=0.2)


@given(st.lists(st.floats(0, 0.2), min_size=1, max_size=200))
def test_a_bucket_gives_no_more_than_its_rate_and_burst(steps: list[float]) -> None:
    bucket, now, given = TokenBucket(rate=10, burst=5), 0.0, []
    for step in steps:
        now += step
        given.append(now + bucket.pause(now))

    assert given == sorted(given)
    for first in range(len(given)):
        for last in range(first, len(given)):
            assert last - first + 1 <= 5 + 10 * (given[last] - given[first]) + 1.001

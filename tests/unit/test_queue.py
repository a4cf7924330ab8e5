"""The queue: a key stands in it once, is worked on once at a time, and comes back after a failure."""

from __future__ import annotations

import asyncio

from towpath.controller.queue import FIRST_PAUSE, Queue


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

    assert await asyncio.wait_for(getting, 1) == "a"


async def test_every_waiting_worker_gets_a_key() -> None:
    queue: Queue[int] = Queue()
    workers = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)

    for key in range(3):
        queue.add(key)

    assert sorted(await asyncio.wait_for(asyncio.gather(*workers), 1)) == [0, 1, 2]


async def test_a_failed_key_comes_back_after_growing_pauses_until_it_succeeds() -> None:
    queue: Queue[str] = Queue()
    queue.add("a")
    pauses = [queue.failed(await asyncio.wait_for(queue.get(), 1)) for _ in range(2)]
    queue.done(await asyncio.wait_for(queue.get(), 1))
    queue.add("a")
    pauses.append(queue.failed(await queue.get()))

    assert pauses == [FIRST_PAUSE, 2 * FIRST_PAUSE, FIRST_PAUSE]


async def test_of_several_times_at_which_a_key_is_due_later_the_first_counts_and_none_is_left() -> None:
    queue: Queue[str] = Queue()
    for pause in (0.05, 0.0, 0.1):
        queue.add_later("a", pause)

    queue.done(await asyncio.wait_for(queue.get(), 1))
    later = asyncio.Event()
    asyncio.get_running_loop().call_later(0.15, later.set)
    await later.wait()

    assert len(queue) == 0, "each time that a key is looked at would leave one more look"

"""Running a command's coroutine so that it can clean up however it ends."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T], loop: Callable[[], asyncio.AbstractEventLoop] | None = None) -> T:
    """Run to the end, in asyncio's event loop or in that which ``loop`` makes.

    Ctrl-C, SIGTERM and SIGHUP cancel the work, and KeyboardInterrupt is raised when it has ended.
    """

    async def guarded() -> T:
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, task.cancel)  # type: ignore[union-attr]
        return await work

    try:
        with asyncio.Runner(loop_factory=loop) as runner:
            return runner.run(guarded())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None

"""Whether Towpath is installed in this Karmada: ``install`` creates a ConfigMap, ``uninstall`` deletes it.

A plugin that runs while Towpath is uninstalled must not create again what is being deleted, and it cannot
rely on losing its permissions: it may run as an administrator. So it watches the ConfigMap, works only while
that exists, and reports itself as not ready otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from towpath.karmada import resources
from towpath.karmada.client import Client
from towpath.karmada.reflector import Reflector

log = structlog.get_logger()
NAMESPACE, INSTALLATION = resources.SYSTEM_NAMESPACE, "towpath"
"""The ConfigMap."""
NOT_INSTALLED = "Towpath is not installed in this Karmada. Run `towpath install`."
Work = Callable[[], Coroutine[Any, Any, None]]


class Installation:
    """Follows the ConfigMap. ``reflector`` must run."""

    def __init__(self, client: Client) -> None:
        self._present, self._absent = asyncio.Event(), asyncio.Event()
        self._absent.set()
        self.reflector: Reflector[bool] = Reflector(
            client,
            resources.CONFIG_MAPS,
            lambda _: True,
            lambda _name, _old, new: self._changed(bool(new)),
            only=(NAMESPACE, INSTALLATION),
        )

    @property
    def is_present(self) -> bool:
        """Whether Towpath is installed."""
        return self._present.is_set()

    @property
    def problem(self) -> str:
        """Why nothing is written, empty if Towpath is installed or that is not known yet."""
        return NOT_INSTALLED if self.reflector.synced.is_set() and not self.is_present else ""

    def _changed(self, there: bool) -> None:
        (self._present if there else self._absent).set()
        (self._absent if there else self._present).clear()

    async def during(self, work: Work) -> None:
        """Run the work while Towpath is installed, until it ends or raises."""
        while True:
            if self.problem:
                log.warning("not writing", reason=self.problem)
            await self._present.wait()
            if await run_until(self._absent, work):
                return


async def run_until(stop: asyncio.Event, work: Work) -> bool:
    """Run the work and cancel it at an event; return whether it ended by itself, raise what it raises."""
    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(work())
        stopping = tasks.create_task(stop.wait())
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        ended = working.done()
        working.cancel()
        stopping.cancel()
    return ended

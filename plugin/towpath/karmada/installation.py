"""Whether and how Towpath is installed in this Karmada: ``install`` writes a ConfigMap, ``uninstall`` deletes
it.

A plugin that runs while Towpath is uninstalled must not create again what is being deleted, and it cannot
rely on losing its permissions: it may run as an administrator. So it watches the ConfigMap, works only while
that exists, and reports itself as not ready otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec
import structlog

from towpath.karmada import resources
from towpath.karmada.client import Client
from towpath.karmada.reflector import Reflector
from towpath.model.installation import PathScope

log = structlog.get_logger()
NAMESPACE, INSTALLATION = resources.SYSTEM_NAMESPACE, "towpath"
"""The ConfigMap."""
NOT_INSTALLED = "Towpath is not installed in this Karmada. Run `towpath install`."
Work = Callable[[], Coroutine[Any, Any, None]]


class _ConfigMap(msgspec.Struct):
    data: dict[str, str] | None = None


def _path_scope(raw: bytes) -> PathScope:
    return PathScope.of(msgspec.json.decode(raw, type=_ConfigMap).data or {})


async def read_marker(client: Client) -> Mapping[str, Any] | None:
    """Return the ConfigMap, None if Towpath is not installed. Asks for no more than the plugin may read."""
    query = [("fieldSelector", f"metadata.name={INSTALLATION}")]
    found = await client.json("GET", resources.CONFIG_MAPS.path(NAMESPACE), query=query)
    return next((obj for obj in found["items"] if obj["metadata"]["name"] == INSTALLATION), None)


class Installation:
    """Follows the ConfigMap. ``reflector`` must run.

    ``scope_known`` is called with the setting of the paths, before any work that it decides about.
    """

    def __init__(self, client: Client, scope_known: Callable[[PathScope], None] = lambda _: None) -> None:
        self.scope_known = scope_known
        self._present, self._absent = asyncio.Event(), asyncio.Event()
        self._absent.set()
        self.reflector: Reflector[PathScope] = Reflector(
            client,
            resources.CONFIG_MAPS,
            _path_scope,
            lambda _name, _old, new: self._changed(new),
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

    def _changed(self, scope: PathScope | None) -> None:
        if scope is not None:
            self.scope_known(scope)
        (self._absent if scope is None else self._present).set()
        (self._present if scope is None else self._absent).clear()

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

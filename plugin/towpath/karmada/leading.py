"""When a process may write: alone with a Lease, without one while nobody holds any, and while installed.

``Unopposed`` is for a plugin that was started without ``--lease``. It looks for Leases that Towpath's plugins
hold in Karmada's namespace: two writers undo nothing of each other, but each doubles the load on Karmada and
the number of touches. So it works while there is no such Lease, and stands by otherwise, with a log line that
names the holder and the fix.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol

import structlog

from towpath.errors import ApiError
from towpath.karmada import resources
from towpath.karmada.client import Client, Object
from towpath.karmada.installation import Installation, run_until
from towpath.model.ownership import OWN_OBJECTS

log = structlog.get_logger()
Work = Callable[[], Coroutine[Any, Any, None]]
LOOK_SECONDS = 5.0
"""How often ``Unopposed`` looks for Leases."""


class Leading(Protocol):
    """Decides when work runs."""

    @property
    def is_leader(self) -> bool:
        """Whether this process may write at this moment."""

    async def lead(self, work: Work) -> None:
        """Run the work whenever this process may write, until it ends or raises."""


class WhileInstalled:
    """Lets work run as ``leading`` does, but only while Towpath is installed."""

    def __init__(self, leading: Leading, installation: Installation) -> None:
        self._leading, self._installation = leading, installation

    @property
    def is_leader(self) -> bool:
        """Whether this process may write at this moment."""
        return self._installation.is_present and self._leading.is_leader

    async def lead(self, work: Work) -> None:
        """Run the work whenever this process may write, until it ends or raises."""
        await self._leading.lead(partial(self._installation.during, work))


class Unopposed:
    """Lets work run without a Lease while no plugin holds one."""

    def __init__(self, client: Client, *, look_seconds: float = LOOK_SECONDS) -> None:
        self._client, self._look_seconds = client, look_seconds
        self._opposed, self._free = asyncio.Event(), asyncio.Event()
        self._seen: dict[str, tuple[Object, float]] = {}
        """Each Lease as last seen, and when it was first seen like that."""
        self._complaint = self._holder = ""

    @property
    def is_leader(self) -> bool:
        """Whether this process may write at this moment."""
        return self._free.is_set()

    async def lead(self, work: Work) -> None:
        """Run the work whenever this process may write, until it ends or raises."""
        await self._look()
        async with asyncio.TaskGroup() as tasks:
            looking = tasks.create_task(self._keep_looking())
            while True:
                await self._free.wait()
                if await run_until(self._opposed, work):
                    break
            looking.cancel()

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(self._look_seconds)
            await self._look()

    async def _look(self) -> None:
        """See whether a plugin holds a Lease. If that cannot be seen, what was seen last counts."""
        try:
            path = resources.LEASES.path(resources.SYSTEM_NAMESPACE)
            answer = await self._client.json("GET", path, query=[("labelSelector", OWN_OBJECTS)])
        except ApiError as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                log.warning("leases not read", error=self._complaint)
            if not self._opposed.is_set():
                self._free.set()
            return
        self._complaint = ""
        held = [text for lease in answer["items"] if (text := self._held(lease))]
        if held and held[0] != self._holder:
            log.warning(
                "not writing: another plugin holds a lease",
                holder=held[0],
                fix="Start this plugin with the same --lease, or stop the other.",
            )
        self._holder = held[0] if held else ""
        (self._opposed if held else self._free).set()
        (self._free if held else self._opposed).clear()

    def _held(self, lease: Object) -> str:
        """Return the name and the holder of a Lease that is held, else an empty text.

        A holder that has not renewed for as long as it said is gone, by our clock and not by the Lease's.
        """
        spec, name = lease.get("spec") or {}, str(lease["metadata"]["name"])
        now = asyncio.get_running_loop().time()
        before, since = self._seen.get(name, (None, now))
        if before != spec:
            since = now
        self._seen[name] = (spec, since)
        holder = str(spec.get("holderIdentity") or "")
        if not holder or now - since > float(spec.get("leaseDurationSeconds") or 0):
            return ""
        return f"{name} is held by {holder}"

"""Leader election with a Lease, as client-go's controllers do it.

Candidates read the Lease every retry period and take it when nobody holds it: when its holder has emptied it,
or has not changed it for its duration. Only the candidate's own monotonic clock counts, from when it saw the
last change; the times in the Lease are informational. A candidate writes with the resourceVersion that it
has read, so only one of several succeeds.

The leader renews every retry period. It stops leading when ``renew_deadline`` has passed since it *sent* the
last renewal that succeeded. Nobody saw that renewal before it was sent, so nobody takes the Lease within
``lease_duration`` of it: the time between the two is left for the work to stop. (client-go counts from the
answer and adds a pause, so a slow apiserver can give it two leaders.) Every request ends well before the
deadline, so that a dead connection does not cost the leadership.

A leader that loses the Lease cancels the work, waits for its end and becomes a candidate again: with the
caches of its process it is the best one. When it is stopped it cancels the work, renews until that has ended,
and empties the Lease.

A Lease does not fence: requests in flight still arrive when a stopped process continues. ``is_leader`` before
each write leaves little in flight: it is False from the deadline on, however long the event loop was blocked.
And two writers do little harm: both derive the same objects.

``kubernetes.aio.leaderelection`` is not used: it cancels the work without waiting for its end, leaves it
running when it is cancelled itself, never releases, ends after the first loss, uses the wall clock, and
counts from the answer.
"""

from __future__ import annotations

import asyncio
import random
import socket
import uuid
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import structlog

from towpath.errors import ApiError, Conflict, UsageError
from towpath.karmada.client import Client
from towpath.karmada.lease import Lease, now

log = structlog.get_logger()

Work = Callable[[], Coroutine[Any, Any, None]]
_RELEASE = 3.0
"""Seconds that emptying the Lease may take. If the apiserver hangs, the successor waits until it expires."""


class Leadership:
    """A candidate for one Lease. Its namespace must exist; the Lease is created if it is missing.

    Raises UsageError unless the times leave room for a retry before the deadline, and for the work to stop
    after it.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        *,
        identity: str | None = None,
        lease_duration: int = 15,
        renew_deadline: float = 10.0,
        retry_period: float = 2.0,
    ) -> None:
        if not lease_duration > renew_deadline > 2 * retry_period > 0:
            raise UsageError(
                f"lease duration: {lease_duration} s is too short. It must exceed the renew deadline of "
                f"{renew_deadline} s, and that two retry periods of {retry_period} s."
            )
        self.identity = identity or f"{socket.gethostname()}_{uuid.uuid4()}"
        self._lease = Lease(client, namespace, name, self.identity, lease_duration, renew_deadline / 3)
        self._log = log.bind(lease=f"{namespace}/{name}", identity=self.identity)
        self._renew_deadline = renew_deadline
        self._retry_period = retry_period
        self._to_stop_in = lease_duration - renew_deadline
        self._leading, self._until = False, 0.0
        self._complaint = ""

    @property
    def is_leader(self) -> bool:
        """Whether this process leads at this moment, to be checked before each write."""
        return self._leading and self._lease.is_ours and now() < self._until

    @property
    def holder(self) -> str:
        """The identity of the leader as last seen, empty if there is none."""
        return self._lease.holder

    async def lead(self, work: Work) -> None:
        """Run the work whenever this process leads, until it ends or raises. Then resign."""
        try:
            while True:
                await self._campaign()
                if await self._run_as_leader(work):
                    return
        finally:
            await self._release()

    async def _campaign(self) -> None:
        """Return once this process is the leader."""
        logged = ""
        while True:
            again = now() + self._pause()
            with self._trying("leader election failed"):
                if await self._attempt():
                    return
            if self._lease.is_taken:
                if logged != self.holder:
                    logged = self.holder
                    self._log.info("standing by", holder=logged)
                again = min(again, self._lease.free_at)
            await _sleep_until(again)

    async def _run_as_leader(self, work: Work) -> bool:
        """Run the work while this process leads; return whether it ended by itself, raise what it raises."""
        self._leading = True
        self._log.info("leading")
        working, renewing = asyncio.create_task(work()), asyncio.create_task(self._renew())
        try:
            await asyncio.wait({working, renewing}, return_when=asyncio.FIRST_COMPLETED)
            ended = working.done()
            if not ended:
                why = "not renewed in time" if self._lease.is_ours else f"held by {self.holder or 'nobody'}"
                self._log.error("leadership lost", reason=why)
        finally:
            # The Lease is renewed until the work has ended, unless it is lost: no other may begin before.
            try:
                await self._stop(working)
            finally:
                self._leading = False
                renewing.cancel()
                await asyncio.gather(renewing, return_exceptions=True)
        if not renewing.cancelled():
            renewing.result()
        if not working.cancelled():
            working.result()
        return ended

    async def _stop(self, working: asyncio.Task[None]) -> None:
        """Cancel the work and wait for its end, even if cancelled meanwhile."""
        cancelled, warned = None, False
        working.cancel()
        while not working.done():
            try:
                await asyncio.wait({working}, timeout=self._retry_period)
            except asyncio.CancelledError as error:
                cancelled = error
                working.cancel()
            if not warned and not working.done() and now() > self._until + self._to_stop_in:
                warned = True
                self._log.error("the work does not stop although another process may lead")
        if cancelled is not None:
            raise cancelled

    async def _renew(self) -> None:
        """Renew until the leadership is lost."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._until) as limit:
                await asyncio.sleep(self._pause())
                while True:
                    again = now() + self._pause()
                    with self._trying("lease not renewed"):
                        if not await self._attempt():
                            return
                        limit.reschedule(self._until)
                    await _sleep_until(again)

    async def _attempt(self) -> bool:
        """Take or renew the Lease; return whether it is ours. Raises ApiError if that is unknown."""
        if self._leading and self._lease.is_certain:
            with suppress(Conflict):  # another write, perhaps of an annotation: read it
                await self._take()
                return True
        await self._lease.look()
        if self._lease.is_taken:
            return False
        await self._take()
        return True

    async def _take(self) -> None:
        sent = now()
        await self._lease.take()
        self._until = sent + self._renew_deadline

    async def _release(self) -> None:
        """Empty the Lease if it is ours, so that a candidate takes it when it reads it next."""
        try:
            async with asyncio.timeout(min(_RELEASE, self._renew_deadline)):
                if await self._lease.empty():
                    self._log.info("leadership released")
        except (ApiError, TimeoutError) as error:
            why = str(error) or "no answer in time"
            self._log.warning("lease not released: it has to expire", error=why)

    def _pause(self) -> float:
        return self._retry_period * random.uniform(0.8, 1.0)  # noqa: S311 - jitter

    @contextmanager
    def _trying(self, failure: str) -> Iterator[None]:
        """Log an error in the block once, not with every retry."""
        try:
            yield
        except ApiError as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                self._log.warning(failure, error=self._complaint)
        else:
            self._complaint = ""


async def _sleep_until(when: float) -> None:
    await asyncio.sleep(max(0.0, when - now()))

"""Writes what the data path states into the status of the member's exports and imports.

Of the agents of a member the first one in the order of their nodes writes, as its Envoy sees the gateways. A
statement has to hold for some seconds, and all of them share a rate: Karmada looks at each object again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

import structlog

from towpath.controller.token_bucket import TokenBucket
from towpath.datapath.derive import Derived
from towpath.datapath.problem import EXPORT
from towpath.datapath.statements import About, Settling, Statement, says, statements, status_of
from towpath.datapath.world import ServiceName
from towpath.errors import ApiError
from towpath.karmada.client import Client
from towpath.net.member import Member
from towpath.net.metrics import Metrics, WriteOutcome

log = structlog.get_logger()

MANAGER = "towpath-net"
"""Field manager of the agents."""
PERIOD_SECONDS = 2.0
BURST, RATE = 10, 0.5
"""Statements that a member may make at once, and then in each second."""


class Statements:
    """Keeps the statements of one member.

    ``derived`` returns what follows from the member's objects, ``unanswered`` whose gateways do not answer,
    and ``is_first`` tells whether this agent writes.
    """

    def __init__(
        self,
        client: Client,
        member: Member,
        metrics: Metrics,
        derived: Callable[[], Derived],
        unanswered: Callable[[], Mapping[ServiceName, frozenset[str]] | None],
        is_first: Callable[[], bool],
    ) -> None:
        self._client, self._member, self._metrics = client, member, metrics
        self._derived, self._unanswered, self._is_first = derived, unanswered, is_first
        self._settling, self._bucket = Settling(), TokenBucket(RATE, BURST)
        self._tried: dict[About, float] = {}
        """When each statement that is due was last tried: one that is refused does not hold up the others."""

    async def run(self) -> None:
        """State until cancelled."""
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            due = self._due(time.monotonic())
            self._tried = {about: self._tried[about] for about in due if about in self._tried}
            for about in sorted(due, key=lambda about: (self._tried.get(about, 0.0), about)):
                if not self._bucket.take(time.monotonic()):
                    break
                self._tried[about] = time.monotonic()
                await self._state(about, due[about])

    def _due(self, now: float) -> dict[About, Statement]:
        seen = statements(self._derived(), self._unanswered()) if self._is_first() else {}
        settled = self._settling.settled(seen, now)
        return {
            about: statement
            for about, statement in settled.items()
            if not says(self._member.held.get(about), about, statement)
        }

    async def _state(self, about: About, statement: Statement) -> None:
        key, kind = about.key, about.kind
        copies = (self._member.exports if kind == EXPORT else self._member.imports)[key.dialect]
        obj = {
            "apiVersion": key.dialect.api_version,
            "kind": kind,
            "metadata": {"name": key.name, "namespace": key.namespace},
            "status": status_of(statement, self._member.held.get(about), time.time()),
        }
        try:
            copies.learn(await self._client.apply(copies.resource, obj, MANAGER, subresource="status"))
        except ApiError as error:
            self._metrics.writes[kind, WriteOutcome.FAILED].inc()
            log.warning("not stated", kind=kind, name=f"{key.namespace}/{key.name}", error=str(error))
        else:
            self._metrics.writes[kind, WriteOutcome.DONE].inc()

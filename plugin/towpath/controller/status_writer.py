"""Saying on an object what came of it: its status, and an event for each change of mind in that."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from towpath.controller.events import About, Events, news
from towpath.controller.writer import Writer
from towpath.derivation.status import Status
from towpath.karmada.reflector import Name, Reflector


class Statuses:
    """Statuses of the users' own objects."""

    def __init__(self, writer: Writer, events: Events) -> None:
        self._writer, self._events = writer, events

    async def bring(
        self, reflector: Reflector[Any], about: About, before: Status, make: Callable[[Status], Status]
    ) -> None:
        """Bring a status to what ``make`` returns for what it says, and tell the news. Raises ApiError."""
        name = Name(about.namespace, about.name)
        after = await self._writer.say(reflector, name, before, make)
        for one in news(before, after or {}):
            self._events.tell(about, one, time.time())

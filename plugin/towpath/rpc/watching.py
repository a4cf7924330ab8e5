"""Who follows a service, and waking those whom a change may concern.

A change only wakes: what there is to tell, the follower works out when it comes to it. So what happens
meanwhile is one change, and a slow client costs no memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager

from towpath.derivation.index import Incremental
from towpath.model.keys import ServiceKey


class Watches:
    """The followers of a world."""

    def __init__(self, world: Incremental) -> None:
        self._world = world
        self._fleet = world.fleet
        self._followers: dict[ServiceKey, set[asyncio.Event]] = {}
        self.stopped = False
        world.listeners.append(self._heard)

    @contextmanager
    def following(self, key: ServiceKey) -> Iterator[asyncio.Event]:
        """Give an event that is set whenever the service may have changed, and when the server stops."""
        woken = asyncio.Event()
        if self.stopped:
            woken.set()
        self._followers.setdefault(key, set()).add(woken)
        try:
            yield woken
        finally:
            followers = self._followers[key]
            followers.discard(woken)
            if not followers:
                del self._followers[key]

    def stop(self) -> None:
        """Wake everybody for the last time."""
        self.stopped = True
        self._wake(self._followers)
        if self._heard in self._world.listeners:
            self._world.listeners.remove(self._heard)

    def _heard(self, touched: Set[ServiceKey]) -> None:
        # A member that joins or leaves is also news for services that it neither exports nor imports.
        everybody = self._world.fleet is not self._fleet
        self._fleet = self._world.fleet
        self._wake(self._followers if everybody else self._followers.keys() & touched)

    def _wake(self, keys: Iterable[ServiceKey]) -> None:
        for key in keys:
            for woken in self._followers[key]:
                woken.set()

"""Watches of services: a change wakes the watchers of the services that it may concern.

A change carries no data: a watcher works out the present state when it is woken. Changes in between are one
change, and a slow client costs no memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager

from towpath.derivation.index import Incremental
from towpath.model.keys import ServiceKey


class Watches:
    """The watchers of a world."""

    def __init__(self, world: Incremental) -> None:
        self._world = world
        self._fleet = world.fleet
        self._watchers: dict[ServiceKey, set[asyncio.Event]] = {}
        self.is_stopped = False
        world.listeners.append(self._on_change)

    @contextmanager
    def watching(self, key: ServiceKey) -> Iterator[asyncio.Event]:
        """Give an event that is set whenever the service may have changed, and when the server stops."""
        changed = asyncio.Event()
        if self.is_stopped:
            changed.set()
        self._watchers.setdefault(key, set()).add(changed)
        try:
            yield changed
        finally:
            watchers = self._watchers[key]
            watchers.discard(changed)
            if not watchers:
                del self._watchers[key]

    def stop(self) -> None:
        """Wake every watcher for the last time."""
        self.is_stopped = True
        self._wake(self._watchers)
        if self._on_change in self._world.listeners:
            self._world.listeners.remove(self._on_change)

    def _on_change(self, touched: Set[ServiceKey]) -> None:
        # A member that joins or leaves also concerns services that it neither exports nor imports.
        is_fleet_changed = self._world.fleet is not self._fleet
        self._fleet = self._world.fleet
        self._wake(self._watchers if is_fleet_changed else self._watchers.keys() & touched)

    def _wake(self, keys: Iterable[ServiceKey]) -> None:
        for key in keys:
            for changed in self._watchers[key]:
                changed.set()

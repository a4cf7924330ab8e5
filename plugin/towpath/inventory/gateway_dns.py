"""Gateways that are given by name: looked up when first seen and every half a minute, off the hot path.

An address that was good stays until there is a better one: that nobody answers, or that a name has gone,
must not withdraw a cluster (DESIGN, rule 1). After a restart the last good address is the one in the
imports that were derived by it, so a restart while DNS is down withdraws nobody either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

import structlog

from towpath.inventory import dns

log = structlog.get_logger()
AGAIN = 30.0
"""Seconds between two look-ups of a name."""


class Lookup:
    """The addresses of names. ``changed`` hears when one has become another.

    ``remembered`` says which address a name had before this process; empty if that is not known.
    """

    def __init__(
        self,
        changed: Callable[[], None],
        remembered: Callable[[str], str],
        ask: Callable[[str], Awaitable[frozenset[str]]] = dns.addresses,
    ) -> None:
        self._changed, self._remembered, self._ask = changed, remembered, ask
        self._known: dict[str, str] = {}
        self._wanted: frozenset[str] = frozenset()
        self._missing: frozenset[str] = frozenset()
        self._new = asyncio.Event()

    def want(self, names: Collection[str]) -> None:
        """Say which names are of interest from now on."""
        self._wanted = frozenset(names)
        if not self._wanted <= self._known.keys():
            self._new.set()

    def address(self, name: str) -> str:
        """Return the address of a name, empty if there is none or it has not been looked up yet."""
        return self._known.get(name, "")

    async def refresh(self, *, all_: bool = True) -> None:
        """Look up the names of interest, or only those that have not been looked up."""
        names = sorted(self._wanted if all_ else self._wanted - self._known.keys())
        found = await asyncio.gather(*map(self._ask, names))
        before = dict(self._known)
        self._known = {name: address for name, address in self._known.items() if name in self._wanted}
        for name, those in zip(names, found, strict=True):
            last = before.get(name) or self._remembered(name)
            self._known[name] = dns.one_of(those, last) or last
            if not those and name not in self._missing:
                log.warning("name not found", name=name, kept=last)
        missing = {name for name, those in zip(names, found, strict=True) if not those}
        self._missing = frozenset(missing | self._missing - set(names)) & self._wanted
        if any(before.get(name, "") != address for name, address in self._known.items()):
            self._changed()

    async def run(self) -> None:
        """Keep the addresses fresh until cancelled."""
        while True:
            try:
                await asyncio.wait_for(self._new.wait(), AGAIN)
            except TimeoutError:
                await self.refresh()
            else:
                self._new.clear()
                await self.refresh(all_=False)

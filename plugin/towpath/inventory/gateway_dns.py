"""The addresses of gateways that are given by name: resolved when first seen and every half minute, beside
the work.

The last good address stays until there is another one: an outage of DNS withdraws no cluster. An answer that
no other cluster could reach, such as 127.0.0.1, counts as none. After a restart the last good address is the
one in the ServiceImports, so a restart during such an outage withdraws none either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

import structlog

from towpath.inventory import dns
from towpath.rules.gateway import routable

log = structlog.get_logger()
REFRESH_SECONDS = 30.0
"""Time between two resolutions of a name."""


class GatewayResolver:
    """The addresses of names. ``changed`` is called when one of them becomes another.

    ``remembered`` returns the address that a name had before this process started, empty if it is not known.
    """

    def __init__(
        self,
        changed: Callable[[], None],
        remembered: Callable[[str], str],
        resolve: Callable[[str], Awaitable[frozenset[str]]] = dns.addresses,
    ) -> None:
        self._changed, self._remembered, self._resolve = changed, remembered, resolve
        self._known: dict[str, str] = {}
        self._wanted: frozenset[str] = frozenset()
        self._missing: frozenset[str] = frozenset()
        self._new = asyncio.Event()

    def want(self, names: Collection[str]) -> None:
        """Set the names that are resolved from now on."""
        self._wanted = frozenset(names)
        if not self._wanted <= self._known.keys():
            self._new.set()

    def address(self, name: str) -> str:
        """Return the address of a name, empty if it has none or has not been resolved yet."""
        return self._known.get(name, "")

    async def refresh(self, *, all_: bool = True) -> None:
        """Resolve all names, or only those that have not been resolved."""
        names = sorted(self._wanted if all_ else self._wanted - self._known.keys())
        found = [routable(addresses) for addresses in await asyncio.gather(*map(self._resolve, names))]
        before = dict(self._known)
        self._known = {name: address for name, address in self._known.items() if name in self._wanted}
        for name, addresses in zip(names, found, strict=True):
            last = before.get(name) or self._remembered(name)
            self._known[name] = dns.choose(addresses, last) or last
            if not addresses and name not in self._missing:
                log.warning("gateway name not resolved", name=name, kept=last)
        missing = {name for name, addresses in zip(names, found, strict=True) if not addresses}
        self._missing = frozenset(missing | self._missing - set(names)) & self._wanted
        if any(before.get(name, "") != address for name, address in self._known.items()):
            self._changed()

    async def run(self) -> None:
        """Keep the addresses fresh until cancelled."""
        while True:
            try:
                await asyncio.wait_for(self._new.wait(), REFRESH_SECONDS)
            except TimeoutError:
                await self.refresh()
            else:
                self._new.clear()
                await self.refresh(all_=False)

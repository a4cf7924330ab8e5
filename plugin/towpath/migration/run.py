"""What taking over and giving back have in common: annotating exports, and waiting for what members show."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from towpath.errors import NotFound
from towpath.karmada import resources
from towpath.karmada.annotations import Change, annotate
from towpath.karmada.client import Client
from towpath.migration.read import Members
from towpath.model.keys import ServiceKey
from towpath.polling import last_seen

Imports = Mapping[ServiceKey, frozenset[str]]
"""Imports by service and member."""
_READ_AGAIN_SECONDS = 0.3


@dataclass(frozen=True)
class Run:
    """The Karmada, its members, the longest time to wait for one step, and where progress is reported."""

    client: Client
    members: Members
    timeout: float
    report: Callable[[str], None]

    async def annotate(self, imports: Imports, change: Callable[[frozenset[str]], Change]) -> None:
        """Annotate the export of each service. One that is deleted meanwhile has no imports to migrate."""
        for key, clusters in imports.items():
            with suppress(NotFound):
                await annotate(
                    self.client,
                    resources.service_exports(key.dialect),
                    key.name,
                    key.namespace,
                    change(clusters),
                )

    async def wait(self, left: Callable[[], Awaitable[Imports]], imports: Imports, done: str) -> Imports:
        """Wait until nothing is left of these imports, and report progress; return what is still left."""
        total = number_of(imports)
        reported = ""

        async def look() -> Imports:
            nonlocal reported
            seen = await left()
            if (line := f"{total - number_of(seen)} of {total} imports {done}") != reported:
                self.report(reported := line)
            return seen

        return await last_seen(look, lambda seen: not seen, patience=self.timeout, every=_READ_AGAIN_SECONDS)


def number_of(imports: Imports) -> int:
    """Return the number of imports."""
    return sum(map(len, imports.values()))


def only(imports: Imports, keep: Callable[[ServiceKey, str], bool]) -> Imports:
    """Return the imports for which this holds."""
    kept = {
        key: frozenset(cluster for cluster in clusters if keep(key, cluster))
        for key, clusters in imports.items()
    }
    return {key: clusters for key, clusters in kept.items() if clusters}


def without(imports: Imports, others: Imports) -> Imports:
    """Return the imports that are not among others."""
    return only(imports, lambda key, cluster: cluster not in others.get(key, frozenset()))


def members_of(imports: Imports) -> frozenset[str]:
    """Return the members of imports."""
    return frozenset(cluster for clusters in imports.values() for cluster in clusters)

"""The services that have an export or a traffic policy: those that a change of a policy can concern."""

from __future__ import annotations

from collections.abc import Iterator

from towpath.karmada.wire import Name
from towpath.model.keys import Dialect, ServiceKey


class ServiceNames:
    """The services by namespace, each with the number of its exports and traffic policies."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[ServiceKey, int]] = {}

    def count(self, key: ServiceKey, difference: int) -> None:
        """Count an export or a traffic policy that has come (1) or gone (-1)."""
        counts = self._counts.setdefault(key.namespace, {})
        counts[key] = counts.get(key, 0) + difference
        if not counts[key]:
            del counts[key]
        if not counts:
            del self._counts[key.namespace]

    def of(self, namespace: str = "") -> Iterator[ServiceKey]:
        """Yield the services of one namespace, or (empty) of all."""
        for counts in [self._counts.get(namespace, {})] if namespace else [*self._counts.values()]:
            yield from [*counts]

    def dialects_of(self, name: Name) -> list[ServiceKey]:
        """Return the dialects in which a service exists."""
        counts = self._counts.get(name.namespace, {})
        return [key for dialect in Dialect if (key := ServiceKey(dialect, *name)) in counts]

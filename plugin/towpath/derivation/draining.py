"""Taking a cluster out of the imports of others, and back: which services that touches, and when it is done.

Pure: the command writes the annotation, and asks here what it would do and how far it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from towpath.derivation.explanation import Explanation, ImportState
from towpath.rules.eligibility import is_set, listed
from towpath.rules.reasons import ExclusionReason


@dataclass(frozen=True)
class Progress:
    """How far a change is in the services that it touches.

    ``waiting`` names for each service that is not done the importing clusters that do not report it yet; none
    of them while the exporters themselves have not changed.
    """

    done: tuple[str, ...] = ()
    waiting: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether every importing cluster reports it."""
        return not self.waiting


def exported_from(services: Iterable[Explanation], cluster: str) -> list[Explanation]:
    """Return the services that a cluster exports."""
    return [s for s in services if any(exporter.cluster == cluster for exporter in s.exporters)]


def drained_in(services: Iterable[Explanation], cluster: str) -> list[Explanation]:
    """Return the services of which a cluster is drained."""
    return [s for s in services if _is_drained(s, cluster)]


def without_others(services: Iterable[Explanation], cluster: str) -> list[str]:
    """Return the services that no cluster would export without this one."""
    return [
        place(s)
        for s in services
        if s.exporters and all(exporter.cluster == cluster for exporter in s.exporters)
    ]


def progress(touched: Iterable[Explanation], cluster: str, *, drained: bool) -> Progress:
    """Return how far a cluster is drained of services, or exports them again.

    A member that Karmada cannot reach is not waited for.
    """
    done, waiting = [], []
    for service in touched:
        behind = tuple(
            importer.cluster
            for importer in service.importers
            if importer.state not in {ImportState.IN_PLACE, ImportState.LOST}
        )
        if behind or _is_drained(service, cluster) is not drained:
            waiting.append((place(service), behind))
        else:
            done.append(place(service))
    return Progress(tuple(done), tuple(waiting))


def _is_drained(service: Explanation, cluster: str) -> bool:
    return any(
        left_out.cluster == cluster and left_out.reason == ExclusionReason.DRAINED.value
        for left_out in service.excluded
    )


def place(service: Explanation) -> str:
    """Return namespace and name of a service."""
    return f"{service.key.namespace}/{service.key.name}"


def with_cluster(annotation: str, cluster: str) -> str:
    """Return the value of an export's annotation that drains one more cluster."""
    return annotation if is_set(annotation) else ",".join(sorted({*listed(annotation), cluster}))


def without_cluster(annotation: str, names: Iterable[str]) -> str | None:
    """Return the value of an export's annotation without the names of one cluster; None for no annotation."""
    return ",".join(name for name in listed(annotation) if name not in set(names)) or None

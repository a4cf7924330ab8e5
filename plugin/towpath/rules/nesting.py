"""Paths that contain paths of another namespace: a gateway sends a part of one's requests to the other.

That is legal, and sometimes wanted, so it is a warning ("claim rule" in docs/rules.md).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from towpath.model.claim import EVERYWHERE, Claim
from towpath.model.export import PATH_TYPES, PREFIX
from towpath.model.keys import ServiceKey
from towpath.model.world import ExportedService
from towpath.rules.paths import above, claimed_path
from towpath.rules.reasons import Advice, Caution
from towpath.text import several

MAX_BELOW = 200
"""Paths below one path that are looked at."""
MAX_COMPARED = 30_000
"""Pairs of paths, in each cluster, that are compared for one service: a tenant decides how many there are."""
MAX_WARNINGS = 100


class ClaimedPaths:
    """All paths that are claimed on any gateway, in order."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._ordered: list[str] = []

    def add(self, path: str) -> None:
        """Count one more claim of a path."""
        count = self._counts.get(path, 0)
        if not count:
            insort(self._ordered, path)
        self._counts[path] = count + 1

    def remove(self, path: str) -> None:
        """Count one claim less."""
        self._counts[path] -= 1
        if not self._counts[path]:
            del self._counts[path]
            del self._ordered[bisect_left(self._ordered, path)]

    def above(self, path: str) -> Iterator[str]:
        """Yield the claimed paths that contain a path."""
        return (other for other in above(path) if other in self._counts)

    def below(self, path: str) -> Iterator[str]:
        """Yield the claimed paths that a path contains."""
        prefix = path if path == "/" else f"{path}/"
        for other in islice(self._ordered, bisect_left(self._ordered, prefix), None):
            if not other.startswith(prefix):
                return
            if other != path:
                yield other


def nested(
    service: ExportedService,
    claims: Iterable[Claim],
    holders: Mapping[Claim, ServiceKey],
    paths: ClaimedPaths,
) -> tuple[Caution, ...]:
    """Return a warning for each path of a service that contains one of another namespace, or is in one.

    A path that is another's with another pathType is both.
    """
    clusters: dict[tuple[str, str, ServiceKey], list[str]] = {}
    for path, other, claim in islice(_pairs(claims, paths), MAX_COMPARED):
        holder = holders.get(claim)
        if holder is not None and holder.namespace != service.key.namespace:
            clusters.setdefault((path, other, holder), []).append(claim.cluster)
    fields = _fields(service)
    return tuple(
        Caution(Advice.PATH_NESTED, fields.get(path, "spec.rules"), _detail(path, other, holder, names))
        for (path, other, holder), names in islice(sorted(clusters.items()), MAX_WARNINGS)
    )


def _pairs(claims: Iterable[Claim], paths: ClaimedPaths) -> Iterator[tuple[str, str, Claim]]:
    """Yield each claimed path, a path that may contain it or be in it, and the claim of that in a cluster."""
    own: dict[tuple[str, str], list[str]] = {}
    for claim in claims:
        if claim.cluster != EVERYWHERE:
            own.setdefault((claim.name, claim.kind), []).append(claim.cluster)
    for (path, kind), names in sorted(own.items()):
        for other, other_kind in _related(path, kind, paths):
            for cluster in names:
                yield path, other, Claim(cluster, other, other_kind)


def _related(path: str, kind: str, paths: ClaimedPaths) -> Iterator[tuple[str, str]]:
    yield from ((path, each) for each in PATH_TYPES if each != kind)
    yield from ((other, PREFIX) for other in paths.above(path))
    if kind == PREFIX:
        below = islice(paths.below(path), MAX_BELOW)
        yield from ((other, each) for other in below for each in PATH_TYPES)


def _detail(path: str, other: str, holder: ServiceKey, clusters: Iterable[str]) -> str:
    is_below = path.startswith(other if other == "/" else f"{other}/")
    place = "at" if path == other else "below" if is_below else "above"
    named = f"ServiceExport {holder.namespace}/{holder.name}"
    return f"{path}, {place} {other} of {named} in {several(sorted(clusters))}"


def _fields(service: ExportedService) -> dict[str, str]:
    """Return the field of the first rule with each path; in the clusters it may be another one."""
    fields: dict[str, str] = {}
    for export in {id(offer.export): offer.export for offer in service.offers.values()}.values():
        for index, rule in enumerate(export.rules):
            fields.setdefault(claimed_path(rule.path), f"spec.rules[{index}].path")
    return fields

"""How far the import of each cluster has come, from one snapshot of the service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from towpath.derivation.explanation import ImportingCluster, ImportState
from towpath.inventory.snapshot import Snapshot
from towpath.model.arrival import Arrival
from towpath.model.times import rfc3339
from towpath.rules import conditions
from towpath.rules.reasons import ConditionReason


class Importing:
    """The states of the importers of one service.

    ``pending_since`` is since when (seconds since 1970) members lag with it, None if that is not known.
    """

    def __init__(self, snapshot: Snapshot, arrival: Arrival, pending_since: float | None) -> None:
        self._snapshot, self._arrival, self._pending_since = snapshot, arrival, pending_since
        self._behind = frozenset(arrival.behind)

    def in_place(self, importers: Iterable[str]) -> int:
        """Return how many of these have their import."""
        return len(set(importers) - self._behind) if self._arrival.reported else 0

    def first_of_each(self, importers: Iterable[str]) -> list[str]:
        """Return the importers that decide: the first of each kind that the links of the chain tell apart.

        A large fleet has a hundred thousand importers, of a few kinds.
        """
        kinds = [frozenset(importers)]
        for names in filter(None, self._told_apart()):
            kinds = [part for kind in kinds for part in (kind & names, kind - names) if part]
        return sorted(min(kind) for kind in kinds if kind)

    def _told_apart(self) -> Iterator[frozenset[str]]:
        """Yield sets of members: in those that an importer belongs to follows all that a link says of it."""
        arrival, brought = self._arrival, self._snapshot.brought
        yield self._behind
        yield frozenset(name for name in self._behind if self._lost_since(name) is not None)
        yield frozenset(arrival.failed)
        yield frozenset(arrival.catching_up)
        yield self._snapshot.imports.binding.copies.applied
        if brought:
            yield self._snapshot.fleet.with_data_path
            yield brought.applied
            yield frozenset(brought.failed)

    def stated(self, importer: ImportingCluster) -> ImportingCluster:
        """Return an importer with the state of its import."""
        name, arrival = importer.cluster, self._arrival
        match self._state(name):
            case ImportState.UNKNOWN:
                reason = ConditionReason.NOT_REPORTED
                return _stated(importer, ImportState.UNKNOWN, reason.value, reason.text)
            case ImportState.IN_PLACE:
                return importer._replace(state=ImportState.IN_PLACE.value)
            case ImportState.LOST:
                reason = ConditionReason.CLUSTER_LOST
                return _stated(importer, ImportState.LOST, reason.value, reason.text, self._lost_since(name))
            case ImportState.FAILED:
                failed = conditions.ready([name], replace(arrival, behind=(name,), lost=()))
                reason = ConditionReason.of(failed.reason)
                text = f"{arrival.failed[name].rstrip('. ')}: {reason.text}"
                return _stated(importer, ImportState.FAILED, reason.value, text)
            case ImportState.PENDING if name in arrival.catching_up:
                reason, ready = ConditionReason.CATCHING_UP, arrival.catching_up[name]
                return _stated(importer, ImportState.PENDING, reason.value, reason.text, ready)
            case ImportState.PENDING:
                waiting = conditions.ready([name], replace(arrival, behind=(name,), lost=(), failed={}))
                return _stated(
                    importer, ImportState.PENDING, waiting.reason, waiting.message, self._pending_since
                )

    def _state(self, name: str) -> ImportState:
        if not self._arrival.reported:
            return ImportState.UNKNOWN
        if name not in self._behind:
            return ImportState.IN_PLACE
        if self._lost_since(name) is not None:
            return ImportState.LOST
        passes = name not in self._arrival.failed or name in self._arrival.catching_up
        return ImportState.PENDING if passes else ImportState.FAILED

    def _lost_since(self, name: str) -> float | None:
        return self._snapshot.fleet.members[name].unreachable_since


def _stated(
    importer: ImportingCluster, state: ImportState, reason: str, text: str, since: float | None = None
) -> ImportingCluster:
    began = "" if since is None else rfc3339(since)
    # Not _replace, which takes three times as long: a large fleet has a hundred thousand importers.
    return ImportingCluster(
        importer.cluster, importer.cluster_key, importer.ports, state.value, began, str(reason), text
    )

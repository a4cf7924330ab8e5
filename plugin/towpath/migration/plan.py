"""Which imports Karmada can take over without losing an endpoint, and why not the others: one pure function.

An endpoint of a member is compared by its port, cluster key, address and path: FSM uses all four. It may go
if its cluster is drained, or does not export the service any more, as that cluster itself shows: ErieCanal
leaves such endpoints behind. Every other endpoint must be in what Karmada's objects give the member.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from towpath.migration.held import Endpoint, HeldImport, MemberState
from towpath.migration.own import Own, own
from towpath.migration.world import World
from towpath.model.keys import Dialect, ServiceKey
from towpath.rules.reasons import MigrationReason


class State(StrEnum):
    """How an import of a member stands."""

    MANAGED = "Managed"
    READY = "Ready"
    BLOCKED = "Blocked"
    RELEASED = "Released"


class Missing(NamedTuple):
    """An endpoint that would go although its cluster may export it, and why."""

    endpoint: Endpoint
    reason: MigrationReason
    detail: str = ""

    @property
    def text(self) -> str:
        """The message."""
        return f"{self.detail}: {self.reason.text}" if self.detail else self.reason.text


@dataclass(frozen=True)
class ImportPlan:
    """One import of one member, and what taking it over would change.

    ``missing`` prevents it. ``stale`` are endpoints that may go.
    ``changes`` are fields beside ports, as ``name: before -> after``.
    """

    service: ServiceKey
    state: State
    held: tuple[Endpoint, ...] = ()
    added: tuple[Endpoint, ...] = ()
    stale: tuple[Endpoint, ...] = ()
    missing: tuple[Missing, ...] = ()
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class MemberPlan:
    """The imports of one member, by service, and what else it has that Karmada does not have likewise."""

    member: MemberState
    imports: tuple[ImportPlan, ...] = ()
    own: tuple[Own, ...] = ()

    def in_state(self, *states: State) -> tuple[ImportPlan, ...]:
        """Return the imports in these states."""
        return tuple(plan for plan in self.imports if plan.state in states)


def plan(world: World) -> tuple[MemberPlan, ...]:
    """Return what taking over would mean for each member."""
    exports = {member.cluster: member.exports for member in world.members if not member.problem}
    return tuple(
        MemberPlan(
            member,
            tuple(
                _import(world, member.cluster, key, held, exports)
                for key, held in sorted(member.imports.items())
            ),
            own(world, member),
        )
        for member in world.members
    )


def unknown_clusters(world: World) -> tuple[str, ...]:
    """Return the cluster keys in the imports of members that no member of Karmada has."""
    named = {
        endpoint.cluster_key
        for member in world.members
        for held in member.imports.values()
        for endpoint in held.endpoints
    }
    return tuple(sorted(named - world.keys.keys()))


def _import(
    world: World,
    cluster: str,
    key: ServiceKey,
    held: HeldImport,
    exports: Mapping[str, frozenset[ServiceKey]],
) -> ImportPlan:
    service = world.services.get(key)
    endpoints = tuple(sorted(held.endpoints))
    if held.managed:
        return ImportPlan(key, State.MANAGED, endpoints)
    if service is not None and cluster in service.released:
        return ImportPlan(key, State.RELEASED, endpoints)
    carried = service.carried.get(cluster) if service else None
    gone = held.endpoints - (carried or frozenset())
    stale = {endpoint for endpoint in gone if _is_stale(world, key, endpoint, exports)}
    missing = tuple(_missing(world, cluster, key, endpoint) for endpoint in sorted(gone - stale))
    takes_over = service is not None and carried is not None and not missing
    return ImportPlan(
        key,
        State.READY if takes_over else State.BLOCKED,
        endpoints,
        tuple(sorted((carried or frozenset()) - held.endpoints)),
        tuple(sorted(stale)),
        missing,
        tuple(_changes(held.settings, service.settings)) if service and carried is not None else (),
    )


def _is_stale(
    world: World, key: ServiceKey, endpoint: Endpoint, exports: Mapping[str, frozenset[ServiceKey]]
) -> bool:
    """Tell whether the cluster of an endpoint shows that it does not export the service, or is drained."""
    service, exporter = world.services.get(key), world.keys.get(endpoint.cluster_key, "")
    if service is not None and exporter in service.drained:
        return True
    exported = exports.get(exporter)
    return exported is not None and key not in exported


def _missing(world: World, cluster: str, key: ServiceKey, endpoint: Endpoint) -> Missing:
    """Return why Karmada's import lacks an endpoint, the most fundamental reason first."""
    service, exporter = world.services.get(key), world.keys.get(endpoint.cluster_key)
    if service is None:
        others = (dialect for dialect in Dialect if key._replace(dialect=dialect) in world.services)
        group = next(others, None)
        reason = MigrationReason.OTHER_GROUP if group else MigrationReason.NO_EXPORT
        return Missing(endpoint, reason, group.value if group else "")
    if exporter is None:
        return Missing(endpoint, MigrationReason.UNKNOWN_CLUSTER)
    if exporter in service.excluded:
        return Missing(endpoint, MigrationReason.EXCLUDED, _without_dot(service.excluded[exporter]))
    if exporter not in service.exporters:
        return Missing(endpoint, MigrationReason.NOT_PROPAGATED)
    if cluster not in service.carried:
        why = service.not_importing.get(cluster, "")
        return Missing(endpoint, MigrationReason.NOT_IMPORTED, _without_dot(why))
    return _not_among(service.carried[cluster], endpoint)


def _not_among(carried: Iterable[Endpoint], endpoint: Endpoint) -> Missing:
    """Return how what Karmada gives the member of the same cluster differs from an endpoint."""
    own = sorted(offered for offered in carried if offered.cluster_key == endpoint.cluster_key)
    moved = next((offered for offered in own if offered.port == endpoint.port), None)
    if moved is not None:
        return Missing(endpoint, MigrationReason.MOVED, moved.text)
    if own:
        return Missing(endpoint, MigrationReason.OTHER_PORT, ", ".join(str(offered.port) for offered in own))
    return Missing(endpoint, MigrationReason.NOT_OFFERED)


def _without_dot(text: str) -> str:
    return text.rstrip(". ")


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name, ""), after.get(name, "")
        if old != new:
            yield f"{name}: {old or 'none'} -> {new or 'none'}"


def ready(plans: Iterable[MemberPlan], world: World, *, force: bool) -> dict[ServiceKey, frozenset[str]]:
    """Return where each service can be taken over; with ``force`` whatever endpoint would be missing."""
    states = (State.READY, State.BLOCKED) if force else (State.READY,)
    found: dict[ServiceKey, set[str]] = {}
    for planned in plans:
        for held in planned.in_state(*states):
            service, cluster = world.services.get(held.service), planned.member.cluster
            if service is not None and cluster in service.carried:
                found.setdefault(held.service, set()).add(cluster)
    return {key: frozenset(clusters) for key, clusters in found.items()}

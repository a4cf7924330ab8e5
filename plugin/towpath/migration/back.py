"""Giving back: members keep the imports that they hold, and Karmada leaves them alone.

Karmada keeps what it has in a member only if the Work says so before it is deleted
(``preserveResourcesOnDeletion``), and a Work that is deleted together with the change may not have it yet.
So there are three steps, each seen to be complete before the next: the Works say it, the imports are
released, the Works are gone.

To preserve an import, Karmada removes its marks from it, and refuses to do that once more when the first
attempt ended half-way: to an import without marks it writes only where it may take it over. A Work that must
not repeat it stays for ever ("preserved once" in docs/karmada-behaviour.md), so the Works allow that as well.

For the same reason an import that Karmada does not own is released before all others and without all that:
Karmada never deletes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from towpath.karmada import resources
from towpath.karmada.client import Client, Object
from towpath.migration import changes
from towpath.migration.run import Imports, Run, members_of, only, without
from towpath.migration.world import World
from towpath.model.keys import Dialect, ServiceKey

_NAMESPACE = "karmada-es-{}"
"""Where Karmada keeps the Works of a member."""
_RESOLUTION = "work.karmada.io/conflict-resolution"
_DIALECTS = {dialect.api_version: dialect for dialect in Dialect}


def carried_imports(world: World) -> Imports:
    """Return the imports that Karmada carries to members."""
    return {key: frozenset(service.carried) for key, service in world.services.items() if service.carried}


async def give_back(run: Run, world: World, imports: Imports) -> Imports:
    """Release imports; return those that Karmada still has in the end. No member loses an endpoint."""
    states = {state.cluster: state for state in world.members}
    foreign = only(
        imports, lambda key, cluster: not states[cluster].problem and not states[cluster].is_managed(key)
    )
    owned = without(imports, foreign)
    await run.annotate(foreign, changes.releasing)
    if left := await run.wait(lambda: _with_work(run.client, foreign), foreign, "of others released"):
        return left
    await run.annotate(owned, changes.preserving)
    deletable = await run.wait(lambda: _deletable(run.client, owned), owned, "preserved")
    kept = {**_interrupted(world), **owned}
    kept = {key: clusters for key, clusters in kept.items() if key not in deletable}
    await run.annotate(kept, changes.releasing)
    left = await run.wait(lambda: _with_work(run.client, kept), kept, "given back")
    complete = {key: clusters for key, clusters in kept.items() if key not in left}
    await run.annotate(complete, changes.preserved)
    return {**deletable, **left}


def _interrupted(world: World) -> Imports:
    """Return what a run before has released without seeing the end of it."""
    services = world.services.items()
    return {key: service.released for key, service in services if service.preserves and service.released}


async def _with_work(client: Client, imports: Imports) -> Imports:
    works = await _works(client, members_of(imports))
    return only(imports, lambda key, cluster: (key, cluster) in works)


async def _deletable(client: Client, imports: Imports) -> Imports:
    """Return the imports that would be deleted with their Work."""
    works = await _works(client, members_of(imports))
    return only(imports, lambda key, cluster: works.get((key, cluster)) is False)


async def _works(client: Client, clusters: Iterable[str]) -> dict[tuple[ServiceKey, str], bool]:
    """Return the imports that have a Work, and whether Karmada preserves them when the Work is deleted."""
    found: dict[tuple[ServiceKey, str], bool] = {}
    for cluster in clusters:
        for work in await client.list(resources.WORKS, _NAMESPACE.format(cluster)):
            preserves = bool(work["spec"].get("preserveResourcesOnDeletion"))
            found.update(((key, cluster), preserves and again) for key, again in _imports_in(work))
    return found


def _imports_in(work: Object) -> Iterator[tuple[ServiceKey, bool]]:
    """Yield the imports in a Work, and whether Karmada may repeat the removal of its marks."""
    for manifest in (work["spec"].get("workload") or {}).get("manifests") or ():
        dialect, meta = _DIALECTS.get(manifest["apiVersion"]), manifest["metadata"]
        if manifest["kind"] == "ServiceImport" and dialect is not None:
            again = (meta.get("annotations") or {}).get(_RESOLUTION) == "overwrite"
            yield ServiceKey(dialect, meta["namespace"], meta["name"]), again

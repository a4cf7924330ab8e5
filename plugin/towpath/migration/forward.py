"""Taking over: let Karmada own imports that another control plane has written.

The export says in which members (``towpath.io/conflict-resolution``), the plugin puts it into their overrides
together with their ports, and Karmada replaces the content of each import in one write. When it owns them,
the annotation is removed. Each step starts from what is there, so a run that was interrupted goes on.
"""

from __future__ import annotations

from towpath.migration import changes
from towpath.migration.held import MemberState
from towpath.migration.read import read
from towpath.migration.run import Imports, Run, members_of, only, without
from towpath.migration.world import World
from towpath.model.keys import ServiceKey


async def reclaim(run: Run, imports: Imports) -> Imports:
    """Let Towpath derive imports that were left to the other control plane; return those that it does not."""
    await run.annotate(imports, changes.reclaiming)

    async def left() -> Imports:
        services = (await read(run.client, run.members)).services
        return only(imports, lambda key, cluster: key in services and cluster not in services[key].carried)

    return await run.wait(left, imports, "derived again")


async def take_over(run: Run, imports: Imports) -> Imports:
    """Let Karmada take over imports; return those that it does not own in time."""
    await run.annotate(imports, changes.taking_over)

    async def left() -> Imports:
        states = {state.cluster: state for state in await run.members.states(members_of(imports))}
        return only(imports, lambda key, cluster: _is_foreign(states[cluster], key))

    waiting = await run.wait(left, imports, "taken over")
    await settle(run, without(imports, waiting))
    return waiting


async def settle(run: Run, imports: Imports) -> None:
    """Remove the permission to take over imports."""
    await run.annotate(imports, changes.taken_over)


def interrupted(world: World) -> Imports:
    """Return the imports that Karmada owns and whose export still says that it may take them over."""
    states = {state.cluster: state for state in world.members}
    named = {key: service.overwritten for key, service in world.services.items()}
    return only(named, lambda key, cluster: cluster in states and states[cluster].is_managed(key))


def _is_foreign(state: MemberState, key: ServiceKey) -> bool:
    """Tell whether Karmada does not own an import that the member has, as far as is known."""
    return bool(state.problem) or (key in state.imports and not state.is_managed(key))

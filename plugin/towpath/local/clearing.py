"""Removes what the walk-through created and what was installed for it, in Karmada and in the members.

Objects are deleted in the reverse order of their creation, and each deletion is awaited: nothing would ever
remove a Work that outlives its template.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from towpath.errors import NotFound
from towpath.karmada import resources
from towpath.karmada.client import Client, Object
from towpath.karmada.discovery import Discovery
from towpath.local import processes, walkthrough, webhook
from towpath.local.demo import Stage, exists, shows
from towpath.local.members import USER_AGENT
from towpath.local.spec import PLUGIN, Environment
from towpath.setup.install import SHARING, Installed, remove
from towpath.setup.uninstall import bindings_of_crds, release


async def clear(stage: Stage) -> None:
    """Delete what the walk-through applied and wait until Karmada and the members are clean."""
    discovery = Discovery(stage.karmada)
    for objects in reversed(list(walkthrough.steps(stage.members).values())):
        for obj in reversed(objects):
            try:
                resource = await discovery.of(obj)
            except NotFound:
                continue
            meta = obj["metadata"]
            await stage.karmada.delete(resource, meta["name"], meta.get("namespace", ""))
    await shows(lambda: leftovers(stage), lambda left: not left, "everything is gone")


async def leftovers(stage: Stage) -> list[str]:
    """Name what is left of the walk-through in Karmada and in the members."""
    left = []
    for namespace in walkthrough.NAMESPACES:
        if await exists(stage.karmada, resources.NAMESPACES, namespace):
            left.append(f"namespace {namespace} in Karmada")
        left += [
            f"namespace {namespace} in {member}"
            for member in stage.members
            if await stage.fleet.get(member, resources.NAMESPACES, namespace)
        ]
    return left + await _works(
        stage.karmada, lambda m: m["metadata"].get("namespace") in walkthrough.NAMESPACES
    )


async def _works(karmada: Client, holds: Callable[[Object], bool]) -> list[str]:
    """Name the Works, of all members, with a manifest of which ``holds`` is true."""
    return [
        f"Work {work['metadata']['name']} in {work['metadata']['namespace']}"
        for work in await karmada.list(resources.WORKS)
        if any(map(holds, work["spec"].get("workload", {}).get("manifests", [])))
    ]


async def uninstall(stage: Stage, installed: Sequence[Installed]) -> None:
    """Remove what was created for the demo, also from the members if Karmada propagated the CRDs."""
    karmada = stage.karmada
    created = [item for item in installed if item.how == "created"]
    crds = {item.name for item in created if item.resource == resources.CRDS}
    shared = [item for item in created if item.resource == SHARING]

    policies = [await karmada.get(SHARING, item.name) for item in shared]

    async def traces() -> list[str]:
        left = [f"binding {b['metadata']['name']}" for b in await bindings_of_crds(karmada, policies)]
        return left + await _works(karmada, lambda manifest: manifest["metadata"]["name"] in crds)

    await release(karmada, policies)
    # The policy last: what it brought to the members goes because its templates go.
    await remove(karmada, [*shared, *(item for item in created if item not in shared)])
    if shared:
        await shows(traces, lambda left: not left, "the CRDs are gone from the members")


async def reset(env: Environment, say: Callable[[str], None]) -> None:
    """Stop Towpath and delete what the walk-through created in a local Karmada."""
    async with await Client.connect(env.karmada, user_agent=USER_AGENT) as karmada:
        await clear(Stage(karmada, tuple(env.members)[: len(walkthrough.PLAYERS)], say))
        await webhook.stop(env, karmada)
    processes.stop(env, PLUGIN)
    say("The objects of the walk-through are deleted.")

"""The ways in which something gets to all members: two floors, Towpath, and Towpath's writes without Towpath.

Each begins with the same two writes, a PropagationPolicy to three members and then its template:

single    A ConfigMap is in all three members. The floor of anything that Karmada carries once.
chained   As soon as the ConfigMap's binding reports it as applied in the exporting members, this process
          writes what the plugin would: an OverridePolicy with one rule for each of them and a
          PropagationPolicy, side by side, then a second ConfigMap as large as a ServiceImport. It ends
          when every member holds that with its own content. The floor of any plugin that derives from
          what members have, by Karmada's bindings: the same objects in the same order, through the same
          client, and no thinking.
twin      The same chain, but of a ServiceExport and a ServiceImport, of which members report digests. It
          goes on when the exporters report the export, and is written by this process: what of the
          difference between chained and towpath is due to the kinds and to reports, and not to the plugin.
          There is no Service, so the plugin derives nothing.
towpath   A ServiceExport whose Service has been in two of the members before; ends when every member
          holds the right ServiceImport: those two without themselves, the third with both.

The end is seen by watches on the members' own apiservers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.bench import wares
from tests.bench.plane import (
    MEMBERS,
    NAMESPACE,
    PATIENCE,
    Plane,
    Right,
    Watch,
    everywhere,
    running,
)
from tests.bench.wares import EXPORTERS, EXPORTS, IMPORTS
from towpath.karmada import resources
from towpath.karmada.client import Object, Resource
from towpath.model.ownership import VIEW_ANNOTATION

SEEN = (resources.CONFIG_MAPS, resources.SERVICES, EXPORTS, IMPORTS)
_VIEW_PATH = f"/metadata/annotations/{VIEW_ANNOTATION.replace('/', '~1')}"
POLICIES = (resources.PROPAGATION_POLICIES, resources.OVERRIDE_POLICIES)


@dataclass(frozen=True)
class Stage:
    """A plane with all watches open."""

    plane: Plane
    bindings: Watch
    members: Mapping[Resource, Mapping[str, Watch]]
    patience: float = PATIENCE

    async def put(self, resource: Resource, policy: Object, obj: Object) -> None:
        """Apply a policy, then the template that it selects."""
        await self.plane.apply(resources.PROPAGATION_POLICIES, policy)
        await self.plane.apply(resource, obj)

    async def right(self, resource: Resource, name: str, right: Mapping[str, Right]) -> float:
        """Return the moment at which all members held what they must."""
        return await everywhere(self.members[resource], name, right, self.patience)

    async def absent(self, resource: Resource, name: str) -> float:
        """Return the moment at which no member held it any more."""
        return await self.right(resource, name, dict.fromkeys(MEMBERS, wares.absent))

    async def applied(self, of: Resource, name: str, members: Sequence[str]) -> Object:
        """Return a binding once its template is applied in members, and they report a ServiceExport."""
        binding, right = f"{name}-{of.kind.lower()}", wares.applied(*members, reported=of == EXPORTS)
        await everywhere({"Karmada": self.bindings}, binding, {"Karmada": right}, self.patience)
        return self.bindings.get(binding) or {}


@asynccontextmanager
async def staged(plane: Plane, patience: float = PATIENCE) -> AsyncIterator[Stage]:
    """Open the watches for the length of the block."""
    bindings = Watch(plane.karmada, resources.BINDINGS)
    async with plane.watch_members(*SEEN) as members, running([bindings]):
        yield Stage(plane, bindings, members, patience)


@dataclass(frozen=True)
class Way:
    """One of them. ``put`` are the kinds of its templates, with what the names of their policies end in."""

    name: str
    put: Sequence[tuple[Resource, str]]
    derived: Callable[[str], tuple[Resource, str]]
    """From its name to what the members hold in the end."""
    prepare: Callable[[Stage, str], Awaitable[object]]
    carry: Callable[[Stage, str], Awaitable[float]]
    """Applies it, and returns the moment at which all members hold what they must."""

    async def clear(self, stage: Stage, *names: str) -> None:
        """Delete the templates, each with its policy, until nothing is left anywhere.

        What was derived goes with the first of them, which owns it. Several names differ in their last part.
        """
        whose = names[0] if len(names) == 1 else names[0].rpartition("-")[0]
        karmada = stage.plane.karmada
        for resource, suffix in self.put:
            await asyncio.gather(*(karmada.delete(resource, name, NAMESPACE) for name in names))
            await asyncio.gather(*(stage.absent(resource, name) for name in names))
            policies = (f"{name}{suffix}" for name in names)
            await asyncio.gather(
                *(karmada.delete(resources.PROPAGATION_POLICIES, policy, NAMESPACE) for policy in policies)
            )
        await stage.plane.gone(whose, *SEEN, *POLICIES, resources.BINDINGS)
        await asyncio.gather(*(stage.absent(*self.derived(name)) for name in names))


async def _nothing(_stage: Stage, _name: str) -> None:
    return None


def path(name: str) -> str:
    """Return the path of an export: each has its own, since a gateway's path can be claimed once."""
    return f"/bench/{name}"


def derived_name(name: str) -> str:
    """Return the name of the second object of a chain."""
    return f"{name}-import"


async def _single(stage: Stage, name: str) -> float:
    data = json.dumps(wares.ports(*EXPORTERS, path=path(name)))
    obj = wares.config_map(name, data)
    await stage.put(resources.CONFIG_MAPS, wares.policy(name, obj), obj)
    return await stage.right(resources.CONFIG_MAPS, name, dict.fromkeys(MEMBERS, wares.holds(data)))


def chained_right(own: str, exporters: Sequence[str] = EXPORTERS) -> dict[str, Right]:
    """Return what members must hold of the second ConfigMap of a chain, under a path."""
    views = wares.views(*exporters, path=own)
    return {member: wares.holds(json.dumps(ports)) for member, ports in views.items()}


def chained_objects(name: str, own: str, exporters: Sequence[str] = EXPORTERS) -> tuple[Object, Object]:
    """Return the second ConfigMap of a chain, and the OverridePolicy with the content of each exporter."""
    views = wares.views(*exporters, path=own)
    second = wares.config_map(derived_name(name), json.dumps(wares.ports(*exporters, path=own)))
    values = {member: {"/data/ports": json.dumps(views[member])} for member in exporters}
    return second, wares.overrides(derived_name(name), second, values)


async def carry_chained(stage: Stage, name: str, exporters: Sequence[str] = EXPORTERS) -> float:
    """Carry two ConfigMaps, the second when the first is applied."""
    second, overrides = chained_objects(name, path(name), exporters)
    first = wares.config_map(name, second["data"]["ports"])
    await _chain(stage, resources.CONFIG_MAPS, first, resources.CONFIG_MAPS, second, overrides, exporters)
    return await stage.right(resources.CONFIG_MAPS, derived_name(name), chained_right(path(name), exporters))


async def follow_chained(stage: Stage, name: str, own: str, exporters: Sequence[str]) -> None:
    """Change both ConfigMaps of a chain, and the override between them, one after the other."""
    second, overrides = chained_objects(name, own, exporters)
    await _own(stage, resources.CONFIG_MAPS, name, exporters, second, overrides)
    await stage.plane.apply(resources.CONFIG_MAPS, wares.config_map(name, second["data"]["ports"]))
    await stage.plane.apply(resources.OVERRIDE_POLICIES, overrides)
    await stage.plane.apply(resources.CONFIG_MAPS, second)


def _twin_objects(name: str, own: str, exporters: Sequence[str]) -> tuple[Object, Object]:
    """Return the ServiceImport of a twin, and the OverridePolicy with the view of each exporter."""
    views = wares.views(*exporters, path=own)
    second = wares.service_import(derived_name(name), wares.ports(*exporters, path=own))
    values = {
        member: {"/spec/ports": views[member], _VIEW_PATH: wares.digest(views[member])}
        for member in exporters
    }
    return second, wares.overrides(derived_name(name), second, values)


async def carry_twin(stage: Stage, name: str, exporters: Sequence[str] = EXPORTERS) -> float:
    """Carry a ServiceExport, and a ServiceImport when the export is applied."""
    own = path(name)
    second, overrides = _twin_objects(name, own, exporters)
    await _chain(stage, EXPORTS, wares.export(name, own), IMPORTS, second, overrides, exporters)
    return await stage.right(IMPORTS, derived_name(name), imports_right(own, exporters))


async def follow_twin(stage: Stage, name: str, own: str, exporters: Sequence[str]) -> None:
    """Change both objects of a twin, and the override between them."""
    second, overrides = _twin_objects(name, own, exporters)
    await _own(stage, EXPORTS, name, exporters, second, overrides)
    export = wares.export(name, own)
    export["metadata"]["annotations"] = {"exporters": ",".join(exporters)}
    await stage.plane.apply(EXPORTS, export)
    await asyncio.gather(
        stage.plane.apply(resources.OVERRIDE_POLICIES, overrides), stage.plane.apply(IMPORTS, second)
    )


async def _chain(
    stage: Stage,
    kind: Resource,
    first: Object,
    derived: Resource,
    second: Object,
    overrides: Object,
    exporters: Sequence[str],
) -> None:
    """Apply a template, and a second one when the first is applied in the exporters; the first owns it."""
    name = first["metadata"]["name"]
    await stage.put(kind, wares.policy(name, first), first)
    policy = wares.policy(second["metadata"]["name"], second)
    await _own(stage, kind, name, exporters, second, overrides, policy)
    await asyncio.gather(
        stage.plane.apply(resources.OVERRIDE_POLICIES, overrides),
        stage.plane.apply(resources.PROPAGATION_POLICIES, policy),
    )
    await stage.plane.apply(derived, second)


async def _own(stage: Stage, kind: Resource, name: str, exporters: Sequence[str], *derived: Object) -> None:
    """Let a template own objects, once the exporters have it; its binding contains its uid."""
    owner = (await stage.applied(kind, name, exporters))["spec"]["resource"]
    reference = {key: owner[key] for key in ("apiVersion", "kind", "name", "uid")}
    for obj in derived:
        obj["metadata"]["ownerReferences"] = [reference]


async def put_service(stage: Stage, name: str, members: Sequence[str] = EXPORTERS) -> None:
    """Bring a Service to members."""
    service = wares.service(name)
    await stage.put(resources.SERVICES, wares.policy(f"{name}-service", service, members), service)
    await stage.right(resources.SERVICES, name, dict.fromkeys(members, wares.present))


def imports_right(own: str, exporters: Sequence[str] = EXPORTERS) -> dict[str, Right]:
    """Return what members must import, under a path."""
    views = wares.views(*exporters, path=own)
    return {member: wares.imports(ports) for member, ports in views.items()}


async def put_export(stage: Stage, name: str, members: Sequence[str] = MEMBERS) -> None:
    """Apply an export to members."""
    export = wares.export(name, path(name))
    await stage.put(EXPORTS, wares.policy(name, export, members), export)


async def _towpath(stage: Stage, name: str) -> float:
    await put_export(stage, name)
    return await stage.right(IMPORTS, name, imports_right(path(name)))


SINGLE = Way(
    "single", ((resources.CONFIG_MAPS, ""),), lambda name: (resources.CONFIG_MAPS, name), _nothing, _single
)
CHAINED = Way(
    "chained",
    ((resources.CONFIG_MAPS, ""),),
    lambda name: (resources.CONFIG_MAPS, derived_name(name)),
    _nothing,
    carry_chained,
)
TWIN = Way("twin", ((EXPORTS, ""),), lambda name: (IMPORTS, derived_name(name)), _nothing, carry_twin)
TOWPATH = Way(
    "towpath",
    ((EXPORTS, ""), (resources.SERVICES, "-service")),
    lambda name: (IMPORTS, name),
    put_service,
    _towpath,
)

"""Reading Karmada, the members and the other control plane for a migration.

A member is read with the context of its name in the given kubeconfigs, or else through Karmada's cluster
proxy. What cannot be read is said of the member, and nothing is assumed about it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from towpath.derivation.derive import why_not_importing
from towpath.derivation.stages import carried
from towpath.errors import ApiError, NotFound
from towpath.inventory import listing
from towpath.inventory.inventory import Inventory
from towpath.inventory.take import take
from towpath.karmada import resources
from towpath.karmada.client import Client, Resource
from towpath.karmada.member_access import MemberAccess, MemberApi
from towpath.migration.held import (
    MemberState,
    Object,
    endpoints_of,
    held_import,
    is_managed,
    key_of,
    own_policy,
    settings_of,
)
from towpath.migration.steps import ControlPlane, Surroundings
from towpath.migration.world import KnownService, World
from towpath.model.digest import export_digest
from towpath.model.keys import Dialect, ServiceKey
from towpath.rules.handover import handover, released
from towpath.rules.reasons import ExclusionReason
from towpath.setup.checks import leftovers
from towpath.setup.checks.evidence import Level
from towpath.setup.checks.gather import gather_leftovers, gather_running
from towpath.setup.checks.run import judge_running

_ALLOW = (
    "Name a context {} in --members, or allow the user to read the member through Karmada's cluster proxy."
)
_MANAGERS = ("erie-canal-manager", "fsm-controller")
_NOT_INSTALLED = "Towpath is not installed. Run `towpath install`."


class Members(MemberAccess):
    """The members of a Karmada, read."""

    async def states(self, names: Iterable[str]) -> list[MemberState]:
        """Return what members hold, in the order of their names."""
        return list(await asyncio.gather(*(self._state(name) for name in sorted(names))))

    async def _state(self, name: str) -> MemberState:
        source = self.source(name)
        try:
            member = await self.of(name)
            # A kind that is not served and a member that is not reached are both a 404.
            await member.json("GET", "/version")
            imports = [
                (key_of(obj, dialect), held_import(obj))
                for dialect in Dialect
                for obj in await _listed(member, resources.service_imports(dialect))
            ]
            exports = [
                (key_of(obj, dialect), obj)
                for dialect in Dialect
                for obj in await _listed(member, resources.service_exports(dialect))
            ]
            policies = [
                (key_of(obj, dialect), obj)
                for dialect in Dialect
                for obj in await _listed(member, resources.traffic_policies(dialect))
            ]
        except ApiError as error:
            return MemberState(name, source, f"{error} {_ALLOW.format(name)}")
        return MemberState(
            name,
            source,
            imports=dict(imports),
            exports=frozenset(key for key, _ in exports),
            own_exports={key: export_digest(obj.get("spec")) for key, obj in exports if not is_managed(obj)},
            own_policies={key: own_policy(obj) for key, obj in policies if not is_managed(obj)},
        )


async def _listed(member: MemberApi, resource: Resource) -> list[dict[str, Any]]:
    try:
        items: list[dict[str, Any]] = (await member.json("GET", resource.path()))["items"]
    except NotFound:
        return []
    return items


async def read(client: Client, members: Members) -> World:
    """Return the world of a plan: first what members hold, then what Karmada gives them. Raises ApiError.

    In this order an endpoint that goes meanwhile makes an import wait, and is not lost.
    """
    names = [cluster["metadata"]["name"] for cluster in await client.list(resources.CLUSTERS)]
    held = await members.states(names)
    inventory = await listing.read(client)
    keys = {member.key: name for name, member in inventory.world.fleet.members.items()}
    return World(keys, known_services(inventory, time.time()), held, inventory.world.policies)


def known_services(inventory: Inventory, now: float) -> dict[ServiceKey, KnownService]:
    """Return the exported services as Karmada has them."""
    found = ((key, _known(inventory, key, now)) for key in list(inventory.world.services))
    return {key: service for key, service in found if service is not None}


def _known(inventory: Inventory, key: ServiceKey, now: float) -> KnownService | None:
    world = inventory.world
    service, derived = world.services.get(key), world.derived(key, now)
    if service is None or derived is None:
        return None
    snapshot, members = take(inventory, key, now, idle=True), world.fleet.members
    current, export = snapshot.current, snapshot.export
    reasons = {name: why_not_importing(service, derived, member, members) for name, member in members.items()}
    ports, hands = carried(current), handover(service.annotations)
    return KnownService(
        {cluster: frozenset(endpoints_of(listed)) for cluster, listed in ports.items()},
        settings_of((current.service_import or {}).get("spec") or {}),
        frozenset(derived.exporters),
        {name: exclusion.text for name, exclusion in derived.excluded.items()},
        frozenset(n for n, why in derived.excluded.items() if why.reason is ExclusionReason.DRAINED),
        {name: reason.text for name, reason in reasons.items() if reason is not None},
        released(service.annotations),
        hands.overwrites_in,
        hands.preserves,
        export.digest if export else "",
    )


async def surroundings(client: Client, other: Client | None, *, is_stopped: bool) -> Surroundings:
    """Return what the steps are judged by. ``other`` is a client of the other control plane's cluster."""
    running, left = await asyncio.gather(gather_running(client), gather_leftovers(client))
    problems = None if running is None else [result.text for result in judge_running(running)]
    if running is not None and running.installed is None:
        problems = [_NOT_INSTALLED]
    found = [
        f"{result.subject}: {result.text}" for result in leftovers.check(left) if result.level is not Level.OK
    ]
    return Surroundings(problems, found, await _control_plane(other) if other else None, is_stopped)


async def _control_plane(other: Client) -> ControlPlane:
    cluster = MemberApi(other)
    clusters = [
        obj["metadata"]["name"]
        for dialect in Dialect
        for obj in await _listed(cluster, resources.flomesh_clusters(dialect))
        if (obj.get("spec") or {}).get("kubeconfig") and not obj["spec"].get("isInCluster")
    ]
    managers = [
        f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"
        for obj in await _listed(cluster, resources.DEPLOYMENTS)
        if obj["metadata"]["name"] in _MANAGERS and _runs(obj)
    ]
    return ControlPlane(tuple(sorted(clusters)), tuple(sorted(managers)))


def _runs(deployment: Object) -> bool:
    """Tell whether a Deployment has pods, or should have some."""
    wanted = (deployment.get("spec") or {}).get("replicas", 1)
    return bool(wanted or (deployment.get("status") or {}).get("replicas"))

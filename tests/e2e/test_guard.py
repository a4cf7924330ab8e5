"""An apiserver that answers with empty lists withdraws nothing, and is believed again once it is right."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from operator import lt
from pathlib import Path

import pytest

from tests.chaos.proxy import Act, Fault, Sort
from tests.chaos.victim import Victim, victim
from tests.conftest import MEMBERS, Plane
from tests.e2e.shop import Endpoints, Shop, gateways
from tests.support.waiting import until
from towpath.controller.deletionguard.limit import MIN_ALLOWED
from towpath.karmada import resources
from towpath.karmada.client import Client, Resource
from towpath.model.keys import Dialect

IMPORTS = resources.service_imports(Dialect.FLOMESH)
EXPORTS = tuple(map(resources.service_exports, Dialect))
LISTS = {
    "clusters": (resources.CLUSTERS,),
    "services": (resources.SERVICES,),
    "bindings": (resources.BINDINGS,),
    "exports": EXPORTS,
}


@pytest.fixture(scope="module", autouse=True)
def reachable(plane: Plane) -> Iterator[None]:
    with gateways(plane, "10.5.0"):
        yield


@pytest.fixture
async def plugin(plane: Plane, tmp_path: Path) -> AsyncIterator[Victim]:
    async with victim(plane.env, tmp_path) as plugin:
        yield plugin


async def ready(shop: Shop) -> str:
    """Return the reason of the export's condition Ready."""
    return str((await shop.conditions()).get("Ready", {}).get("reason", ""))


async def refused(plugin: Victim, kind: str) -> float:
    cause = "unknown_export" if kind == "exports" else "empty_list"
    return await plugin.metric(f'towpath_guard_refusals_total{{cause="{cause}"}}')


@pytest.mark.parametrize("restarted", [True, False], ids=["after a restart", "in the middle"])
async def test_empty_lists_delete_nothing_and_are_reported(
    restarted: bool, plane: Plane, plugin: Victim, namespace: str, members: dict[str, Client]
) -> None:
    """Kind after kind, so that one export and one plugin do for all of them."""
    shop = Shop(plane, namespace)
    shop.apply(shop.service(), shop.export(), shop.policy())
    right = await shop.complete(members)
    await until(lambda: ready(shop), lambda reason: reason == "Exported")
    made = as_made(shop)

    for kind, resources_ in LISTS.items():
        before = await refused(plugin, kind)
        with plugin.proxy.fault(Fault(Act.EMPTY, kinds=resources_, sorts=frozenset({Sort.LIST}))):
            if restarted:
                plugin.kill()
                plugin.start()
                await plugin.synced()
                before = 0
            else:
                await listed_again(plugin, resources_)
            if kind != "exports":
                await until(lambda: ready(shop), lambda reason: reason == "WithdrawalWithheld")
            if kind == "clusters":
                await one_is_back(plane, plugin)
                before = await refused(plugin, kind)
            await until(partial(refused, plugin, kind), partial(lt, before))
        await until(lambda: ready(shop), lambda reason: reason == "Exported")
        assert await shop.seen(members) == right
        assert as_made(shop) == made, f"an empty list of {kind} had something changed"

    # What was withheld is not what a user wants.
    await followed(shop, plugin, members)


async def one_is_back(plane: Plane, plugin: Victim) -> None:
    """Let a watch event bring one of the clusters that were not listed: the others are still missing.

    By one after the other, for one that comes while the plugin lists again is in that list, which is empty.
    """

    async def known() -> float:
        plane.client().annotate(resources.CLUSTERS, MEMBERS[0], {"changed": str(time.time())})
        return await plugin.metric('towpath_clusters{state="ready"}')

    await until(known, lambda count: count == 1)


async def listed_again(plugin: Victim, kinds: tuple[Resource, ...]) -> None:
    """Make the plugin list kinds again while it runs."""
    done = plugin.proxy.done[Act.EMPTY]

    async def listed() -> int:
        return plugin.proxy.done[Act.EMPTY] - done

    gone = Fault(Act.GONE, kinds=kinds, sorts=frozenset({Sort.WATCH}))
    with plugin.proxy.fault(gone):
        plugin.proxy.cut()
        await until(listed, lambda count: count >= len(kinds))


def as_made(shop: Shop) -> list[tuple[str, str, int]]:
    """Return the identity of the derived objects, which changes when an object is deleted or changed."""
    kinds = (IMPORTS, resources.PROPAGATION_POLICIES, resources.OVERRIDE_POLICIES)
    found = [obj["metadata"] for kind in kinds for obj in shop.plane.client().list(kind, shop.namespace)]
    return [(meta["uid"], meta.get("deletionTimestamp", ""), meta["generation"]) for meta in found]


async def followed(shop: Shop, plugin: Victim, members: dict[str, Client]) -> None:
    """Check that a withdrawal that a user wants comes, and at once, also after all this."""
    shop.remove(resources.SERVICES)
    nothing: dict[str, Endpoints] = {}
    await until(lambda: shop.seen(members), lambda seen: seen == nothing, patience=30)


MANY = MIN_ALLOWED + 2
"""More imports than may be removed at once in a namespace."""


def several(namespace: str, number: int) -> str:
    """Return Services and exports, and the policy that sends all of them to one cluster."""
    policy = f"""
apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {{name: all, namespace: {namespace}}}
spec:
  resourceSelectors:
  - {{apiVersion: v1, kind: Service}}
  - {{apiVersion: flomesh.io/v1alpha1, kind: ServiceExport}}
  placement: {{clusterAffinity: {{clusterNames: [cluster-1]}}}}
"""
    services = [
        f"""
apiVersion: v1
kind: Service
metadata: {{name: s{each}, namespace: {namespace}}}
spec: {{ports: [{{name: http, port: 80, protocol: TCP}}]}}
---
apiVersion: flomesh.io/v1alpha1
kind: ServiceExport
metadata: {{name: s{each}, namespace: {namespace}}}
spec: {{rules: [{{portNumber: 80, path: /{namespace}/s{each}, pathType: Prefix}}]}}
"""
        for each in range(number)
    ]
    return "\n---\n".join([policy, *services])


def withdrawing(namespace: str) -> str:
    """Return an OverridePolicy by which no export of a namespace names a port of its Service."""
    return f"""
apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: {{name: none, namespace: {namespace}}}
spec:
  resourceSelectors: [{{apiVersion: flomesh.io/v1alpha1, kind: ServiceExport}}]
  overrideRules:
  - overriders: {{plaintext: [{{path: /spec/rules/0/portNumber, operator: replace, value: 81}}]}}
"""


async def test_a_tenant_that_fills_the_guard_holds_up_no_other(
    plane: Plane, plugin: Victim, namespace: str
) -> None:
    """The refusal names it, and an annotation lets one of its imports go."""
    other = f"{namespace}-b"
    plane.create_namespace(other)
    # Without a complete list nothing is confirmed, so that what is withheld stays for as long as this looks.
    lists = Fault(
        Act.BROKEN, kinds=(resources.traffic_policies(Dialect.FLOMESH),), sorts=frozenset({Sort.LIST})
    )
    try:
        for place, number in ((namespace, MANY), (other, 1)):
            plane.client().apply(several(place, number))
        made = {f"s{each}" for each in range(MANY)}
        # An export that is still on its way does not count yet.
        await until(lambda: exported(plane, namespace), lambda found: found == made, patience=120)
        await until(lambda: exported(plane, other), lambda found: found == {"s0"})
        with plugin.proxy.fault(lists):
            await withheld(plane, plugin, namespace, other, made)
        await until(lambda: imports(plane, namespace), lambda found: len(found) <= 1)
    finally:
        plane.delete_namespace(other)


async def imports(plane: Plane, namespace: str) -> set[str]:
    return plane.client().names(IMPORTS, namespace)


def conditions(plane: Plane, namespace: str) -> dict[str, dict[str, str]]:
    """Return the condition Ready of each export."""
    return {
        export["metadata"]["name"]: condition
        for export in plane.client().list(resources.service_exports(Dialect.FLOMESH), namespace)
        for condition in export.get("status", {}).get("conditions", ())
        if condition["type"] == "Ready"
    }


async def exported(plane: Plane, namespace: str) -> set[str]:
    """Return the exports whose import every importer has."""
    found = conditions(plane, namespace)
    return {name for name, condition in found.items() if condition["status"] == "True"}


async def withheld(plane: Plane, plugin: Victim, namespace: str, other: str, made: set[str]) -> None:
    """Withdraw all imports of two namespaces, the larger one first, and then one by its annotation."""

    async def refused() -> set[str]:
        text = f"Most of the imports are in namespace {namespace}."
        found = conditions(plane, namespace)
        return {name for name, condition in found.items() if text in condition["message"]}

    plane.client().apply(withdrawing(namespace))
    await until(refused, lambda names: names == made)
    plane.client().apply(withdrawing(other))
    await until(lambda: imports(plane, other), lambda found: found == set())
    assert await imports(plane, namespace) == made
    assert await plugin.metric(f'towpath_guard_withdrawals{{namespace="{namespace}"}}') == MANY
    allowed = {"towpath.io/allow-withdrawal": "true"}
    plane.client().annotate(resources.service_exports(Dialect.FLOMESH), "s0", allowed, namespace)
    await until(lambda: imports(plane, namespace), lambda found: found == made - {"s0"})

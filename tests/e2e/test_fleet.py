"""A member joins late, moves, leaves and returns: every view follows, and nothing stale remains."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

from tests.conftest import MEMBERS, Plane, Plugin
from tests.e2e.shop import Shop, gateways
from tests.support.waiting import until
from towpath.karmada import resources
from towpath.karmada.client import Client
from towpath.local import members as joining
from towpath.local import store
from towpath.model.keys import Dialect
from towpath.rules.reasons import Advice

LATE = "late"
ALIAS = "late-too"
"""The name under which the late member joins a second time."""
SOON = 30.0
"""Seconds within which a member that is Ready has every import, on a busy machine too."""
REFRESH = 30.0
"""Seconds in which Karmada has asked a member twice which APIs it serves."""


@pytest.fixture(autouse=True)
def reachable(plane: Plane) -> Iterator[None]:
    with gateways(plane, "10.8.0"):
        yield


@pytest.fixture
async def fleet(plane: Plane, members: dict[str, Client]) -> AsyncIterator[Fleet]:
    fleet = Fleet(plane, dict(members))
    yield fleet
    await fleet.part()


class Fleet:
    """The members, and the one that comes and goes."""

    def __init__(self, plane: Plane, members: dict[str, Client]) -> None:
        self.plane, self.members = plane, members
        self._open = AsyncExitStack()

    async def join(self) -> None:
        env = await joining.join_live(store.load(self.plane.env.root), LATE, lambda _: None)
        client = await Client.connect(env.kubeconfig(LATE), user_agent="towpath-tests")
        self.members[LATE] = await self._open.enter_async_context(client)

    async def join_again(self) -> None:
        """Join the late member under another name too, as who forgets that it has joined does."""
        async with await Client.connect(self.plane.karmada, user_agent="towpath-tests") as karmada:
            spec = (await karmada.get(resources.CLUSTERS, LATE))["spec"]
            twin = {"apiVersion": resources.CLUSTERS.api_version, "kind": resources.CLUSTERS.kind}
            await karmada.apply(
                resources.CLUSTERS, {**twin, "metadata": {"name": ALIAS}, "spec": spec}, "towpath-tests"
            )

    async def part_again(self) -> None:
        async with await Client.connect(self.plane.karmada, user_agent="towpath-tests") as karmada:
            await karmada.delete(resources.CLUSTERS, ALIAS)
            await joining.wait_for_cluster(karmada, ALIAS, lambda cluster: cluster is None, "still exists")

    async def part(self) -> None:
        await self._open.aclose()
        self._open = AsyncExitStack()
        env = store.load(self.plane.env.root)
        if self.members.pop(LATE, None) or LATE in env.members:
            await joining.leave(env, LATE, lambda _: None)

    def place(self, dialect: Dialect, gateway: str, region: str = "default") -> None:
        """Say with a flomesh Cluster where the late member is."""
        self.plane.client().apply(
            f"""
apiVersion: {dialect.api_version}
kind: Cluster
metadata: {{name: {LATE}}}
spec: {{region: {region}, gatewayHost: {gateway}}}
"""
        )

    async def managed(self, dialect: Dialect) -> str:
        found = self.plane.client().get(resources.flomesh_clusters(dialect), LATE).get("status", {})
        return next((c["reason"] for c in found.get("conditions", ()) if c["type"] == "Managed"), "")

    async def keys(self, shop: Shop) -> set[str]:
        """Return the cluster keys that cluster-2 imports."""
        found = await self.members["cluster-2"].get(
            resources.service_imports(shop.dialect), "web", shop.namespace
        )
        return {endpoint["clusterKey"] for port in found["spec"]["ports"] for endpoint in port["endpoints"]}


async def test_a_member_that_comes_late_moves_leaves_and_comes_back(
    plane: Plane, plugin: Plugin, namespace: str, fleet: Fleet
) -> None:
    shop = Shop(plane, namespace)
    shop.apply(shop.service(), shop.export(), shop.policy())
    await until(lambda: shop.seen(fleet.members), lambda seen: sorted(seen) == MEMBERS)
    others = ["cluster-1@10.8.0.1:80/web-80", "cluster-3@10.8.0.3:80/web-80"]

    await fleet.join()
    await until(lambda: shop.seen(fleet.members), lambda seen: seen.get(LATE) == {80: others}, SOON)

    wider = Shop(plane, namespace, ("cluster-1", "cluster-3", LATE))
    wider.apply(wider.policy())
    fleet.place(shop.dialect, "10.8.0.4")
    try:
        own = f"{LATE}@10.8.0.4:80/web-80"
        await until(lambda: shop.seen(fleet.members), lambda seen: seen["cluster-2"] == {80: [*others, own]})
        assert (await shop.seen(fleet.members))[LATE] == {80: others}
        await until(lambda: fleet.managed(shop.dialect), lambda reason: reason == "Managed")

        fleet.place(shop.dialect, "10.8.0.40", "eu")
        key = f"eu/default/default/{LATE}"
        await until(lambda: fleet.keys(shop), lambda keys: key in keys and len(keys) == 3)
        moved = f"{LATE}@10.8.0.40:80/web-80"
        await until(
            lambda: shop.seen(fleet.members), lambda seen: seen["cluster-1"] == {80: [others[1], moved]}
        )

        await fleet.part()
        await until(lambda: shop.seen(fleet.members), lambda seen: seen["cluster-2"] == {80: others})
        await until(lambda: fleet.managed(shop.dialect), lambda reason: reason == "NoMember")

        await fleet.join()
        await until(lambda: shop.seen(fleet.members), lambda seen: seen.get(LATE) == {80: others}, SOON)
        await until(lambda: fleet.keys(shop), lambda keys: key in keys and len(keys) == 3)

        # One cluster under two names would import from itself.
        await fleet.join_again()
        sentence = f"{LATE}, {ALIAS}: {Advice.JOINED_TWICE.text}"
        await until(lambda: message(shop), lambda text: sentence in text)
        await fleet.part_again()
        await until(lambda: message(shop), lambda text: ALIAS not in text)
    finally:
        plane.client().remove(resources.flomesh_clusters(shop.dialect), LATE)

    # Without its flomesh Cluster it has no gateway, so no view has it any more.
    await until(lambda: shop.seen(fleet.members), lambda seen: seen["cluster-2"] == {80: others})


async def test_terminal_no_cluster_fit_a_late_member_gets_its_imports(
    plane: Plane, plugin: Plugin, namespace: str, members: dict[str, Client]
) -> None:
    """Karmada's scheduler gives up on a member that does not serve a kind, and looks no more."""
    shop = Shop(plane, namespace, dialect=Dialect.MULTICLUSTER)
    crd = f"serviceimports.{shop.dialect.value}"
    made = plane.client("cluster-2").get(resources.CRDS, crd)
    plane.client("cluster-2").remove(resources.CRDS, crd)
    bare = {
        "apiVersion": resources.CRDS.api_version,
        "kind": resources.CRDS.kind,
        "metadata": {"name": crd},
        "spec": made["spec"],
    }

    async def serves() -> bool:
        return crd in _serving(plane)

    try:
        await until(serves, lambda yes: not yes, REFRESH)
        shop.apply(shop.service(), shop.export(), shop.policy())
        await until(lambda: shop.seen(members), lambda seen: sorted(seen) == ["cluster-1", "cluster-3"])
    finally:
        plane.client("cluster-2").apply_objects(bare)
    await until(serves, bool, REFRESH)
    await until(lambda: shop.seen(members), lambda seen: sorted(seen) == MEMBERS, SOON)


async def message(shop: Shop) -> str:
    """Return the message of the condition Valid."""
    text: str = (await shop.conditions()).get("Valid", {}).get("message", "")
    return text


def _serving(plane: Plane) -> set[str]:
    """Return the kinds that Karmada knows cluster-2 to serve, as names of CRDs."""
    cluster = plane.client().get(resources.CLUSTERS, "cluster-2")
    return {
        f"{resource['name']}.{group['groupVersion'].partition('/')[0]}"
        for group in cluster["status"].get("apiEnablements", [])
        for resource in group["resources"]
    }

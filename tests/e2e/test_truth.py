"""Published only where it is: what a cluster exports follows from what Karmada really put there."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.conftest import Plane, Plugin
from tests.e2e.shop import Shop, gateways
from tests.support.waiting import until
from towpath.karmada.client import Client

BOTH = {"cluster-1", "cluster-3"}
BOTH = {"cluster-1", "cluster-3"}
SUSPENDED = "suspension: {dispatchingOnClusters: {clusterNames: [cluster-3]}}"


@pytest.fixture(scope="module", autouse=True)
def reachable(plane: Plane) -> Iterator[None]:
    with gateways(plane, "10.8.0"):
        yield


def conditions(shop: Shop) -> dict[str, tuple[str, str]]:
    """Return reason and message of each condition of the export."""
    export = (f"serviceexports.{shop.dialect}", "web", "-n", shop.namespace)
    found = shop.plane.kubectl("get", *export, "-o", "jsonpath={.status.conditions}")
    return {c["type"]: (c["reason"], c["message"]) for c in json.loads(found.stdout or "[]")}


async def valid(shop: Shop) -> str:
    return ": ".join(conditions(shop).get("Valid", ()))


def exporters_seen(seen: dict[str, dict[int, list[str]]]) -> set[str]:
    ports = (port for ports in seen.values() for port in ports.values())
    return {endpoint.partition("@")[0] for endpoints in ports for endpoint in endpoints}


async def test_a_suspended_cluster_exports_when_dispatching_resumes(
    plane: Plane, plugin: Plugin, namespace: str, members: dict[str, Client]
) -> None:
    """The case 02: the cluster never received the objects, so it must not be published."""
    shop = Shop(plane, namespace)
    shop.apply(shop.service(), shop.export(), shop.policy().rstrip() + f"\n  {SUSPENDED}\n")
    await until(lambda: valid(shop), lambda said: "cluster-3 (Suspended)" in said)
    await until(lambda: shop.seen(members), lambda seen: exporters_seen(seen) == {"cluster-1"})

    shop.apply(shop.policy())
    await until(
        lambda: shop.seen(members), lambda seen: exporters_seen(seen) == BOTH and len(seen) == len(members)
    )

    # Once it has had them, a suspension keeps it, with a warning.
    shop.apply(shop.policy().rstrip() + f"\n  {SUSPENDED}\n", shop.service(8080), shop.export(8080))
    await until(lambda: valid(shop), lambda said: "Cluster cluster-3 keeps an older version" in said)


async def test_a_cluster_that_refuses_the_service_does_not_export(
    plane: Plane, plugin: Plugin, namespace: str, members: dict[str, Client]
) -> None:
    """The case 07: the nodePort is taken in cluster-3 by somebody else. Karmada's own message is quoted."""
    shop = Shop(plane, namespace)
    taken = """
apiVersion: v1
kind: Service
metadata: {name: taken, namespace: default}
spec: {type: NodePort, ports: [{port: 80, nodePort: 32410}]}
"""
    plane.kubectl("apply", "-f-", member="cluster-3", stdin=taken)
    try:
        node_port = (
            shop.service()
            .replace("ports:", "type: NodePort, ports:")
            .replace("port: 80,", "port: 80, nodePort: 32410,")
        )
        shop.apply(node_port, shop.export(), shop.policy())
        said = await until(lambda: valid(shop), lambda said: "cluster-3 (ApplyFailed" in said)
        assert "provided port is already allocated" in said
        await until(lambda: shop.seen(members), lambda seen: exporters_seen(seen) == {"cluster-1"})
    finally:
        plane.kubectl("delete", "service", "taken", "-n", "default", member="cluster-3")
    await until(lambda: shop.seen(members), lambda seen: exporters_seen(seen) == BOTH)


async def imported(shop: Shop, members: dict[str, Client]) -> None:
    """Export the service and wait until every member imports it."""
    shop.apply(shop.service(), shop.export(), shop.policy())
    await until(lambda: shop.seen(members), lambda seen: len(seen) == len(members))


async def test_an_export_that_a_finalizer_holds_is_withdrawn(
    plane: Plane, plugin: Plugin, namespace: str, members: dict[str, Client]
) -> None:
    """The case 30: withdrawn when the deletion is requested, whoever holds a finalizer."""
    shop = Shop(plane, namespace)
    await imported(shop, members)
    export = (f"serviceexports.{shop.dialect}", "web", "-n", namespace)
    plane.kubectl(
        "patch", *export, "--type=merge", "-p", '{"metadata": {"finalizers": ["example.com/hold"]}}'
    )
    try:
        plane.kubectl("delete", *export, "--wait=false")
        await until(lambda: shop.seen(members), lambda seen: not seen)
        await until(lambda: valid(shop), lambda said: said.startswith("BeingDeleted: "))
    finally:
        plane.kubectl("patch", *export, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')


@pytest.mark.parametrize("restarted", [False, True], ids=["running", "after a restart"])
async def test_what_an_orphaning_deletion_leaves_is_collected(
    plane: Plane, plugin: Plugin, namespace: str, members: dict[str, Client], restarted: bool
) -> None:
    """The garbage collector leaves the derived objects alone: their owner references were removed."""
    shop = Shop(plane, namespace)
    await imported(shop, members)
    if restarted:
        plugin.stop()
    plane.kubectl("delete", f"serviceexports.{shop.dialect}", "web", "-n", namespace, "--cascade=orphan")
    if restarted:
        await plugin.start()

    async def left() -> str:
        policies = "propagationpolicies.policy.karmada.io,overridepolicies.policy.karmada.io"
        kinds = f"serviceimports.{shop.dialect},{policies}"
        label = "app.kubernetes.io/managed-by=towpath"
        return plane.kubectl("get", kinds, "-n", namespace, "-l", label, "-o", "name").stdout

    await until(left, lambda names: not names)
    await until(lambda: shop.seen(members), lambda seen: not seen)

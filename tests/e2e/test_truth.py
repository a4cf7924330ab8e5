"""Published only where it is: what a cluster exports follows from what Karmada really put there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Plane, Plugin
from tests.e2e.shop import Shop, gateways
from tests.support.waiting import until
from towpath.karmada import resources
from towpath.karmada.client import Client, Object
from towpath.model.ownership import OWN_OBJECTS

BOTH = {"cluster-1", "cluster-3"}
SUSPENDED = "suspension: {dispatchingOnClusters: {clusterNames: [cluster-3]}}"


@pytest.fixture(scope="module", autouse=True)
def reachable(plane: Plane) -> Iterator[None]:
    with gateways(plane, "10.8.0"):
        yield


async def explained(shop: Shop, aspect: str) -> str:
    """Return reason and message of a condition of the export."""
    condition = (await shop.conditions()).get(aspect, {})
    return f"{condition.get('reason')}: {condition.get('message')}"


async def valid(shop: Shop) -> str:
    return await explained(shop, "Valid")


def exporters_seen(seen: dict[str, dict[int, list[str]]]) -> set[str]:
    ports = (port for ports in seen.values() for port in ports.values())
    return {endpoint.partition("@")[0] for endpoints in ports for endpoint in endpoints}


async def test_a_suspended_cluster_exports_when_dispatching_resumes(
    plane: Plane, lasting_plugin: Plugin, namespace: str, members: dict[str, Client]
) -> None:
    """The case 02: the cluster never received the objects, so it must not be published."""
    shop = Shop(plane, namespace)
    shop.apply(shop.service(), shop.export(), shop.policy().rstrip() + f"\n  {SUSPENDED}\n")
    await until(lambda: valid(shop), lambda message: "cluster-3 (Suspended)" in message)
    await until(lambda: shop.seen(members), lambda seen: exporters_seen(seen) == {"cluster-1"})

    shop.apply(shop.policy())
    await until(
        lambda: shop.seen(members), lambda seen: exporters_seen(seen) == BOTH and len(seen) == len(members)
    )

    # Once it has had them, a suspension keeps it, with a warning.
    shop.apply(shop.policy().rstrip() + f"\n  {SUSPENDED}\n", shop.service(8080), shop.export(8080))
    await until(lambda: valid(shop), lambda message: "Cluster cluster-3 keeps an older version" in message)


async def test_a_cluster_that_refuses_the_service_does_not_export(
    plane: Plane, lasting_plugin: Plugin, namespace: str, members: dict[str, Client]
) -> None:
    """The case 07: the nodePort is taken in cluster-3 by another Service. Karmada's own message is quoted."""
    shop = Shop(plane, namespace)
    taken = """
apiVersion: v1
kind: Service
metadata: {name: taken, namespace: default}
spec: {type: NodePort, ports: [{port: 80, nodePort: 32410}]}
"""
    plane.client("cluster-3").apply(taken)
    try:
        node_port = (
            shop.service()
            .replace("ports:", "type: NodePort, ports:")
            .replace("port: 80,", "port: 80, nodePort: 32410,")
        )
        shop.apply(node_port, shop.export(), shop.policy())
        message = await until(lambda: valid(shop), lambda message: "cluster-3 (ApplyFailed" in message)
        assert "provided port is already allocated" in message
        await until(lambda: shop.seen(members), lambda seen: exporters_seen(seen) == {"cluster-1"})
    finally:
        plane.client("cluster-3").delete(resources.SERVICES, "taken", "default")
    await until(lambda: shop.seen(members), lambda seen: exporters_seen(seen) == BOTH)


async def imported(shop: Shop, members: dict[str, Client]) -> None:
    """Export the service and wait until every member imports it."""
    shop.apply(shop.service(), shop.export(), shop.policy())
    await until(lambda: shop.seen(members), lambda seen: len(seen) == len(members))


async def test_an_export_that_a_finalizer_holds_is_withdrawn(
    plane: Plane, lasting_plugin: Plugin, namespace: str, members: dict[str, Client]
) -> None:
    """The case 30: withdrawn when the deletion is requested, whether or not a finalizer holds it."""
    shop = Shop(plane, namespace)
    await imported(shop, members)

    def hold(finalizers: list[str] | None) -> None:
        plane.client().merge(shop.exports, "web", namespace, metadata={"finalizers": finalizers})

    hold(["example.com/hold"])
    try:
        shop.delete(shop.exports)
        await until(lambda: shop.seen(members), lambda seen: not seen)
        await until(lambda: valid(shop), lambda message: message.startswith("BeingDeleted: "))
    finally:
        hold(None)


@pytest.mark.parametrize("restarted", [False, True], ids=["running", "after a restart"])
async def test_objects_left_by_an_orphaning_deletion_are_collected(
    plane: Plane, lasting_plugin: Plugin, namespace: str, members: dict[str, Client], restarted: bool
) -> None:
    """The garbage collector leaves them and Karmada's binding alone: their owner references were removed."""
    shop = Shop(plane, namespace)
    await imported(shop, members)
    if restarted:
        lasting_plugin.stop()
    plane.kubectl("delete", f"serviceexports.{shop.dialect}", "web", "-n", namespace, "--cascade=orphan")
    if restarted:
        await lasting_plugin.start()

    async def left() -> list[Object]:
        policies = (resources.PROPAGATION_POLICIES, resources.OVERRIDE_POLICIES)
        kinds = (resources.service_imports(shop.dialect), *policies)
        return [obj for kind in kinds for obj in plane.client().list(kind, namespace, OWN_OBJECTS)]

    async def bound() -> set[str]:
        found = plane.client().list(resources.BINDINGS, namespace)
        return {binding["spec"]["resource"]["kind"] for binding in found}

    await until(left, lambda found: not found)
    await until(lambda: shop.seen(members), lambda seen: not seen)
    await until(bound, lambda kinds: kinds == {"Service"})


async def ready(shop: Shop) -> str:
    return await explained(shop, "Ready")


async def test_an_override_without_selectors_is_reported_by_name(
    plane: Plane, lasting_plugin: Plugin, namespace: str, members: dict[str, Client]
) -> None:
    """The case 06: it changes what cluster-2 imports, which is not what was derived for it."""
    shop = Shop(plane, namespace)
    await imported(shop, members)
    await until(lambda: ready(shop), lambda message: message.startswith("Exported: "))
    override = f"""
apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: {{name: region-b-port, namespace: {namespace}}}
spec:
  overrideRules:
  - targetCluster: {{clusterNames: [cluster-2]}}
    overriders: {{plaintext: [{{path: /spec/ports/0/port, operator: replace, value: 9090}}]}}
"""
    shop.apply(override)
    await until(lambda: shop.seen(members), lambda seen: [*seen["cluster-2"]] == [9090])
    policy = f"OverridePolicy {namespace}/region-b-port in cluster-2"
    await until(lambda: ready(shop), lambda message: message.startswith(f"ImportOverridden: {policy}: "))

    shop.delete(resources.OVERRIDE_POLICIES, "region-b-port")
    await until(lambda: ready(shop), lambda message: message.startswith("Exported: "))


async def test_a_copy_with_another_content_is_not_in_place(
    plane: Plane, lasting_plugin: Plugin, namespace: str, members: dict[str, Client]
) -> None:
    """The member reports the digest of what it holds, whatever annotation came along."""
    shop = Shop(plane, namespace)
    await imported(shop, members)
    await until(lambda: ready(shop), lambda message: message.startswith("Exported: "))
    listed = plane.client().list(resources.WORKS, "karmada-es-cluster-2")
    works = [(work, work["spec"]["workload"]["manifests"][0]) for work in listed]
    (work, manifest) = next(
        (work, manifest)
        for work, manifest in works
        if (manifest["kind"], manifest["metadata"].get("namespace")) == ("ServiceImport", namespace)
    )
    manifest["spec"]["ports"][0]["port"] = 9090
    plane.client().replace(resources.WORKS, work)
    await until(lambda: shop.seen(members), lambda seen: [*seen["cluster-2"]] == [9090])

    await until(
        lambda: ready(shop), lambda message: message.startswith("Pending: ") and "cluster-2" in message
    )
    await until(lambda: shop.seen(members), lambda seen: [*seen["cluster-2"]] == [80])

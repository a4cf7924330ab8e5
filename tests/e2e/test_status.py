"""The status of a ServiceExport, and that it is true: the members' own reports count."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import MEMBERS, Plane, Plugin
from tests.e2e.shop import Shop, gateways
from tests.support.waiting import until
from towpath.karmada import resources
from towpath.karmada.client import Client
from towpath.local import processes
from towpath.model.keys import Dialect


@pytest.fixture(autouse=True)
def reachable(plane: Plane) -> Iterator[None]:
    with gateways(plane, "10.3.0"):
        yield


@pytest.fixture(params=list(Dialect), ids=lambda dialect: dialect.value)
def shop(request: pytest.FixtureRequest, plane: Plane, lasting_plugin: Plugin, namespace: str) -> Shop:
    return Shop(plane, namespace, dialect=request.param)


async def conditions(shop: Shop) -> dict[str, tuple[str, str]]:
    return {kind: (c["status"], c["reason"]) for kind, c in (await shop.conditions()).items()}


GOOD = {"Valid": ("True", "Valid"), "Conflict": ("False", "NoConflicts"), "Ready": ("True", "Exported")}


async def test_an_export_reports_where_it_is_offered_and_held(shop: Shop) -> None:
    shop.apply(shop.export(), shop.policy())
    await until(
        lambda: conditions(shop),
        lambda seen: (
            seen.get("Valid") == ("False", "NoService") and seen.get("Ready") == ("False", "NotImported")
        ),
    )

    shop.apply(shop.service())
    await until(lambda: conditions(shop), lambda seen: seen == GOOD)
    reported = await shop.status()
    assert reported["offeredTo"] == MEMBERS
    assert reported["conditions"][0]["message"] == "Exported by cluster-1, cluster-3."

    async def columns() -> list[str]:
        kind = f"serviceimports.{shop.dialect.value}"
        return shop.plane.kubectl("get", kind, "-n", shop.namespace, "--no-headers").stdout.split()

    await until(columns, lambda seen: seen[:3] == ["web", "cluster-1,cluster-3", "80"])

    shop.apply(shop.service(8080))
    await until(lambda: conditions(shop), lambda seen: seen.get("Valid") == ("False", "NoMatchingPort"))


async def test_early_override_a_stale_copy_is_put_right(shop: Shop, members: dict[str, Client]) -> None:
    """Karmada says that all is applied and reports no error; only the digest of the member differs."""
    shop.apply(shop.service(), shop.export(), shop.policy())
    await until(lambda: conditions(shop), lambda seen: seen == GOOD)
    right = await shop.complete(members)
    listed = shop.plane.client().list(resources.WORKS, "karmada-es-cluster-1")
    (work,) = (item for item in listed if _is_import_of(item, shop.namespace))
    manifest = work["spec"]["workload"]["manifests"][0]
    manifest["spec"]["ports"] = []
    manifest["metadata"]["annotations"]["towpath.io/view"] = "stale"
    shop.plane.client().replace(resources.WORKS, work)
    await until(lambda: shop.seen(members), lambda seen: seen["cluster-1"] == {})

    await until(lambda: conditions(shop), lambda seen: seen.get("Ready") == ("False", "Pending"))
    await until(lambda: shop.seen(members), lambda seen: seen == right)
    await until(lambda: conditions(shop), lambda seen: seen == GOOD)
    log = processes.tail(shop.plane.env.log("towpath-plugin"), 200).splitlines()
    assert [line for line in log if "touched" in line and shop.namespace in line]


def _is_import_of(work: dict[str, Any], namespace: str) -> bool:
    manifest = work["spec"]["workload"]["manifests"][0]
    is_import: bool = manifest["kind"] == "ServiceImport"
    return is_import and manifest["metadata"]["namespace"] == namespace


async def test_a_healthy_export_reports_no_alarm_on_its_way_up(
    plane: Plane, lasting_plugin: Plugin, namespace: str
) -> None:
    """Export, Service and both kinds of policies in one apply: nothing of it is worth a warning."""
    shop = Shop(plane, namespace)
    traffic = f"""
apiVersion: {shop.dialect.api_version}
kind: GlobalTrafficPolicy
metadata: {{name: web, namespace: {namespace}}}
spec: {{lbType: ActiveActive}}
"""
    shop.apply(shop.export(), traffic, shop.policy(), shop.service())
    await until(lambda: conditions(shop), lambda seen: seen == GOOD)

    async def resolved() -> str:
        policy = plane.client().get(resources.traffic_policies(shop.dialect), "web", namespace)
        conditions = policy.get("status", {}).get("conditions", ())
        return "".join(c["status"] for c in conditions if c["type"] == "Resolved")

    await until(resolved, lambda status: status == "True")
    listed = plane.client().list(resources.EVENTS, namespace)
    ours = [event for event in listed if event["source"].get("component") == "towpath"]
    assert [(event["reason"], event["message"]) for event in ours if event["type"] == "Warning"] == []


async def test_an_export_reports_a_reserved_namespace(plane: Plane, lasting_plugin: Plugin) -> None:
    """The case 04: Karmada never propagates kube-system, so no touch helps."""
    shop = Shop(plane, "kube-system")
    try:
        shop.apply(shop.service(), shop.export(), shop.policy())
        await until(
            lambda: conditions(shop), lambda seen: seen.get("Valid") == ("False", "NamespaceReserved")
        )
        export = plane.client().get(shop.exports, "web", shop.namespace)
        assert "towpath.io/touched" not in export["metadata"].get("annotations", {})
    finally:
        for kind in (shop.exports, resources.SERVICES, resources.PROPAGATION_POLICIES):
            shop.delete(kind)


async def test_an_export_reports_only_members_with_its_namespace(
    plane: Plane, lasting_plugin: Plugin, namespace: str, members: dict[str, Client]
) -> None:
    """The case 03: a policy sends the namespace to two members, so the third is no importer."""
    shop = Shop(plane, f"{namespace}-partial", clusters=("cluster-1",))
    there = f"""
apiVersion: policy.karmada.io/v1alpha1
kind: ClusterPropagationPolicy
metadata: {{name: {shop.namespace}}}
spec:
  resourceSelectors: [{{apiVersion: v1, kind: Namespace, name: {shop.namespace}}}]
  placement: {{clusterAffinity: {{clusterNames: [cluster-1, cluster-2]}}}}
---
apiVersion: v1
kind: Namespace
metadata:
  name: {shop.namespace}
  labels: {{namespace.karmada.io/skip-auto-propagation: "true"}}
"""
    try:
        shop.apply(there, shop.service(), shop.export(), shop.policy())
        await until(lambda: shop.seen(members), lambda seen: [*seen] == ["cluster-2"])
        await until(lambda: conditions(shop), lambda seen: seen == GOOD)
        assert (await shop.status())["offeredTo"] == ["cluster-2"]
    finally:
        plane.delete_namespace(shop.namespace)
        plane.client().delete(resources.CLUSTER_PROPAGATION_POLICIES, shop.namespace)

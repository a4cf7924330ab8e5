"""The walk-through of the Karmada documentation, literally, seen in the members' own apiservers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MEMBERS, Plane, Plugin
from tests.support.audit import PLUGIN_USER
from tests.support.waiting import until
from towpath.errors import NotFound
from towpath.karmada import resources
from towpath.karmada.client import Client, Object, Resource
from towpath.model.keys import Dialect

MANIFESTS = sorted(Path("examples/walkthrough").glob("*.yaml"))
IMPORTS = resources.service_imports(Dialect.FLOMESH)
EXPORTS = resources.service_exports(Dialect.FLOMESH)

ONE = {
    "clusterKey": "default/default/default/cluster-1",
    "target": {"host": "10.0.2.4", "ip": "10.0.2.4", "port": 80, "path": "/httpbin"},
}
THREE = {
    "clusterKey": "default/default/default/cluster-3",
    "target": {"host": "10.0.2.6", "ip": "10.0.2.6", "port": 80, "path": "/httpbin"},
}


def spec(*endpoints: dict[str, Any]) -> dict[str, Any]:
    return {
        "ports": [{"port": 8080, "protocol": "TCP", "endpoints": list(endpoints)}],
        "serviceAccountName": "*",
        "type": "ClusterSetIP",
    }


IMPORTED = {"cluster-1": spec(THREE), "cluster-2": spec(ONE, THREE), "cluster-3": spec(ONE)}

Specs = dict[str, Any]


async def specs_of(members: dict[str, Client], resource: Resource, name: str, namespace: str) -> Specs:
    async def read(client: Client) -> Object | None:
        try:
            return (await client.get(resource, name, namespace))["spec"]  # type: ignore[no-any-return]
        except NotFound:
            return None

    found = await asyncio.gather(*map(read, members.values()))
    return {name: spec for name, spec in zip(members, found, strict=True) if spec is not None}


async def left_in(members: dict[str, Client], karmada: Client) -> list[str]:
    """Name what is left of the walk-through, in Karmada and in the members."""
    left = []
    for name in ("httpbin", "curl"):
        for where, client in {"karmada": karmada, **members}.items():
            try:
                await client.get(resources.NAMESPACES, name)
            except NotFound:
                continue
            left.append(f"namespace {name} in {where}")
    for member in MEMBERS:
        for work in await karmada.list(resources.WORKS, f"karmada-es-{member}"):
            manifests = work["spec"].get("workload", {}).get("manifests", [])
            if any(m["metadata"].get("namespace") in {"httpbin", "curl"} for m in manifests):
                left.append(f"work {work['metadata']['name']} of {member}")
    return left


@pytest.fixture(scope="module", autouse=True)
def swept(plane: Plane) -> Iterator[None]:
    """Leave the plane to other tests as it was: once for all tests here, a namespace takes 10 s to go."""
    yield
    for manifest in reversed(MANIFESTS):
        plane.kubectl("delete", "-f", str(manifest), "--ignore-not-found")


@pytest.fixture
async def walked(plane: Plane, lasting_plugin: Plugin, members: dict[str, Client]) -> None:
    """Apply the manifests in order, each as the text does it, and wait for the imports."""
    for manifest in MANIFESTS:
        plane.kubectl("apply", "-f", str(manifest))
    await until(lambda: specs_of(members, IMPORTS, "httpbin", "httpbin"), lambda seen: seen == IMPORTED)


async def test_every_member_imports_from_the_others(
    walked: None, plane: Plane, members: dict[str, Client]
) -> None:
    assert await specs_of(members, IMPORTS, "httpbin", "httpbin") == IMPORTED
    assert columns(plane) == ["httpbin", "cluster-1,cluster-3", "8080"]
    assert columns(plane, "cluster-1") == ["httpbin", "cluster-3", "8080"]


async def test_the_traffic_policy_is_in_the_client_cluster_alone(
    walked: None, members: dict[str, Client]
) -> None:
    def in_the_client(seen: Specs) -> bool:
        return list(seen) == ["cluster-2"]

    seen = await until(
        lambda: specs_of(members, resources.traffic_policies(Dialect.FLOMESH), "httpbin", "httpbin"),
        in_the_client,
    )
    assert seen["cluster-2"]["lbType"] == "ActiveActive"


async def test_deleting_the_export_removes_every_import(
    walked: None, plane: Plane, karmada: Client, members: dict[str, Client]
) -> None:
    plane.client().remove(EXPORTS, "httpbin", namespace="httpbin")

    await until(lambda: specs_of(members, IMPORTS, "httpbin", "httpbin"), lambda seen: not seen)
    for resource in (resources.PROPAGATION_POLICIES, resources.OVERRIDE_POLICIES):
        await until(
            lambda resource=resource: karmada.list(  # type: ignore[misc]
                resource, "httpbin", "app.kubernetes.io/managed-by=towpath"
            ),
            lambda found: not found,
        )


async def test_an_export_made_again_is_imported_again(
    walked: None, plane: Plane, members: dict[str, Client]
) -> None:
    plane.client().remove(EXPORTS, "httpbin", namespace="httpbin")
    await until(lambda: specs_of(members, IMPORTS, "httpbin", "httpbin"), lambda seen: not seen)

    # The policy selects the traffic policy by now, so the text's step is repeated as a whole.
    plane.kubectl("apply", "-f", "examples/walkthrough/02-export.yaml")

    await until(lambda: specs_of(members, IMPORTS, "httpbin", "httpbin"), lambda seen: seen == IMPORTED)


async def test_deleting_the_namespace_leaves_nothing(
    walked: None, plane: Plane, karmada: Client, members: dict[str, Client]
) -> None:
    plane.client().remove(resources.NAMESPACES, "httpbin", "curl")

    await until(lambda: left_in(members, karmada), lambda left: not left, patience=60)


async def test_a_restart_with_nothing_changed_writes_nothing(
    walked: None, plane: Plane, lasting_plugin: Plugin, namespace: str, members: dict[str, Client]
) -> None:
    await until(lambda: ready(plane), lambda seen: seen == "True")
    lasting_plugin.stop()
    before = plane.audit.writes(user=PLUGIN_USER)
    assert len(before) >= 3, "the audit log must know the plugin's writes by its user"

    await lasting_plugin.start()
    await lasting_plugin.caught_up()
    export_something(plane, namespace)
    await until(lambda: specs_of(members, IMPORTS, "late", namespace), lambda seen: len(seen) == 2)

    after = plane.audit.writes(user=PLUGIN_USER)[len(before) :]
    assert {write.namespace for write in after} == {namespace}


def columns(plane: Plane, member: str | None = None) -> list[str]:
    """Return what kubectl shows of the import besides its age."""
    kind = "serviceimports.flomesh.io"
    return plane.kubectl("get", kind, "-n", "httpbin", "--no-headers", member=member).stdout.split()[:-1]


async def ready(plane: Plane) -> str:
    found = plane.client().get(EXPORTS, "httpbin", "httpbin").get("status", {})
    return next((c["status"] for c in found.get("conditions", ()) if c["type"] == "Ready"), "")


def export_something(plane: Plane, namespace: str) -> None:
    plane.client().apply(
        f"""
apiVersion: v1
kind: Service
metadata: {{name: late, namespace: {namespace}}}
spec: {{ports: [{{port: 80}}]}}
---
apiVersion: flomesh.io/v1alpha1
kind: ServiceExport
metadata: {{name: late, namespace: {namespace}}}
spec: {{rules: [{{portNumber: 80, path: /late, pathType: Prefix}}]}}
---
apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {{name: late, namespace: {namespace}}}
spec:
  resourceSelectors:
  - {{apiVersion: v1, kind: Service, name: late}}
  - {{apiVersion: flomesh.io/v1alpha1, kind: ServiceExport, name: late}}
  placement: {{clusterAffinity: {{clusterNames: [cluster-1]}}}}
"""
    )

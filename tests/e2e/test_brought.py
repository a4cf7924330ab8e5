"""The Service that comes along with its import, on a real Karmada: what each cluster gets of it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

from tests.conftest import MEMBERS, Plane, Plugin
from tests.e2e.shop import Shop, gateways
from tests.support.checkout import TOP
from tests.support.waiting import until
from towpath.karmada import resources
from towpath.model.manifest import load

CLOUD = "service.beta.kubernetes.io/aws-load-balancer-type"


@pytest.fixture(autouse=True)
def reachable(plane: Plane) -> Iterator[None]:
    with gateways(plane, "10.9.0"):
        yield


@pytest.fixture
def shop(plane: Plane, lasting_plugin: Plugin, namespace: str) -> Iterator[Shop]:
    """Give a shop in a fleet where cluster-2 has the data path, as far as Karmada knows."""
    lua = [
        obj
        for obj in load(TOP / "deploy/datapath/karmada.yaml")
        if obj["kind"] == "ResourceInterpreterCustomization"
    ]
    client = plane.client()
    client.apply_objects(*lua)
    client.label(resources.CLUSTERS, "cluster-2", {"towpath.io/data-path": "net"})
    yield Shop(plane, namespace, ("cluster-1",))
    client.label(resources.CLUSTERS, "cluster-2", {"towpath.io/data-path": None})
    client.remove(resources.CUSTOMIZATIONS, *(obj["metadata"]["name"] for obj in lua))


def services(shop: Shop, *, kind: str = "LoadBalancer", port: int = 80) -> str:
    """Return the Service of the shop as a load balancer, and a headless one."""
    (web,) = yaml.safe_load_all(shop.service(port))
    headless = {**web, "metadata": {**web["metadata"], "name": "db"}}
    headless["spec"] = {**web["spec"], "clusterIP": "None"}
    web["metadata"]["annotations"] = {CLOUD: "nlb"}
    web["spec"] |= {"type": kind, "externalTrafficPolicy": "Local"}
    return yaml.safe_dump_all([web, headless])


def both(manifest: str) -> str:
    """Return a manifest, and the same for ``db``."""
    obj = yaml.safe_load(manifest)
    other = yaml.safe_load(manifest.replace("name: web", "name: db").replace("/web-", "/db-"))
    return yaml.safe_dump_all([obj, other])


@contextmanager
def types(plane: Plane, member: str, namespace: str) -> Iterator[list[str]]:
    """Collect every type that the Service has in a member; complete after the block."""
    seen: list[str] = []
    columns = "jsonpath={.metadata.name} {.spec.type}{'\\n'}"
    command = [
        str(plane.env.binaries / "kubectl"),
        f"--kubeconfig={plane.env.kubeconfig(member)}",
        *("get", "services", "-n", namespace, "--watch", "-o", columns),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        try:
            yield seen
        finally:
            watching.terminate()
        assert watching.stdout is not None
        seen += [line.partition(" ")[2] for line in watching.stdout.read().splitlines() if line[:3] == "web"]


async def test_a_load_balancer_is_a_plain_service_where_it_is_imported(shop: Shop, plane: Plane) -> None:
    def found(member: str, name: str = "web") -> dict[str, Any]:
        return plane.client(member).get(resources.SERVICES, name, shop.namespace)

    async def kinds() -> dict[str, str]:
        return {member: found(member).get("spec", {}).get("type", "") for member in MEMBERS}

    def ports(member: str) -> list[int]:
        return [port["port"] for port in found(member)["spec"]["ports"]]

    plane.create_namespace(shop.namespace, "cluster-2")
    with types(plane, "cluster-2", shop.namespace) as seen:
        shop.apply(services(shop), both(shop.policy()), both(shop.export()))
        plain = {"cluster-1": "LoadBalancer", "cluster-2": "ClusterIP", "cluster-3": "ClusterIP"}
        await until(kinds, plain.__eq__)
        brought = found("cluster-2")
        assert CLOUD not in brought["metadata"]["annotations"]
        assert "nodePort" not in brought["spec"]["ports"][0]
        assert CLOUD in found("cluster-1")["metadata"]["annotations"]

        async def headless() -> str:
            return str(found("cluster-2", "db").get("spec", {}).get("clusterIP", ""))

        address = await until(headless, bool)
        assert address != "None"
        assert found("cluster-1", "db")["spec"]["clusterIP"] == "None"

        # The user's edits arrive, in the type of each cluster.
        shop.apply(services(shop, kind="NodePort", port=81), both(shop.export(81)))
        await until(kinds, {**plain, "cluster-1": "NodePort"}.__eq__)

        async def numbers() -> list[list[int]]:
            return [ports(member) for member in MEMBERS]

        await until(numbers, lambda now: now == [[81]] * 3)

        # A cluster that gets it by the user's own policy gets it as it is.
        wider = Shop(plane, shop.namespace, ("cluster-1", "cluster-3"))
        shop.apply(both(wider.policy()))
        await until(kinds, {**plain, "cluster-1": "NodePort", "cluster-3": "NodePort"}.__eq__)

        plane.client().remove(shop.exports, "web", "db", namespace=shop.namespace)
        await until(kinds, lambda now: now["cluster-2"] == "")

    assert set(seen) == {"ClusterIP"}, "at no moment was it anything else"

    async def policies() -> set[str]:
        return plane.client().names(resources.OVERRIDE_POLICIES, shop.namespace)

    await until(policies, lambda names: not names)

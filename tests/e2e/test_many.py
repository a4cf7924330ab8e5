"""Many exports at once: all arrive, a restart finds nothing to write, and all go again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Plane, Plugin
from tests.e2e.shop import gateways
from tests.support.audit import PLUGIN_USER
from tests.support.waiting import until
from towpath.karmada import resources
from towpath.karmada.client import Client
from towpath.model.keys import Dialect

MANY = 30
"""More than make Karmada busy (``SERVICES_WHEN_BUSY``). Each takes it a second of processor time."""
DIALECT = Dialect.MULTICLUSTER
Object = dict[str, Any]


@pytest.fixture(autouse=True)
def reachable(plane: Plane) -> Iterator[None]:
    with gateways(plane, "10.9.0"):
        yield


def manifests(namespace: str) -> Iterator[Object]:
    """Yield Services with their exports, and the policy that takes all of them to one member."""
    kinds = [("v1", "Service"), (DIALECT.api_version, "ServiceExport")]
    yield {
        "apiVersion": "policy.karmada.io/v1alpha1",
        "kind": "PropagationPolicy",
        "metadata": {"name": "many", "namespace": namespace},
        "spec": {
            "resourceSelectors": [{"apiVersion": version, "kind": kind} for version, kind in kinds],
            "placement": {"clusterAffinity": {"clusterNames": ["cluster-1"]}},
        },
    }
    for number in range(MANY):
        rules = [{"portNumber": 80, "path": f"/{namespace}/{number}", "pathType": "Prefix"}]
        for (version, kind), spec in zip(kinds, ({"ports": [{"port": 80}]}, {"rules": rules}), strict=True):
            meta = {"name": f"many-{number}", "namespace": namespace}
            yield {"apiVersion": version, "kind": kind, "metadata": meta, "spec": spec}


async def test_a_restart_with_many_exports_writes_nothing(
    plane: Plane, plugin: Plugin, karmada: Client, members: dict[str, Client], namespace: str
) -> None:
    plane.client().apply_objects(*manifests(namespace))

    async def ready() -> int:
        exports = await karmada.list(resources.service_exports(DIALECT), namespace)
        conditions = [c for e in exports for c in e.get("status", {}).get("conditions", ())]
        return sum(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    await until(ready, lambda number: number == MANY, patience=120)
    plugin.stop()
    before = plane.audit.writes(user=PLUGIN_USER, namespace=namespace)

    await plugin.start()
    await plugin.caught_up()

    assert len(before) >= 2 * MANY
    assert plane.audit.writes(user=PLUGIN_USER, namespace=namespace) == before

    for number in range(MANY):
        plane.client().delete(resources.service_exports(DIALECT), f"many-{number}", namespace)

    async def left() -> int:
        imports = resources.service_imports(DIALECT)
        found = [await client.list(imports, namespace) for client in (karmada, *members.values())]
        return sum(map(len, found))

    await until(left, lambda number: number == 0, patience=120)

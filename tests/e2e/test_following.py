"""Missing propagation is derived, and is removed as soon as the user has a policy (follow rule)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import MEMBERS, Plane, Plugin
from tests.e2e.shop import Shop, gateways
from tests.support.waiting import until
from towpath.karmada import resources
from towpath.karmada.client import Client, Resource
from towpath.model.keys import Dialect

TRAFFIC = resources.traffic_policies(Dialect.MULTICLUSTER)
BOTH = {"cluster-1", "cluster-3"}


@pytest.fixture(autouse=True)
def reachable(plane: Plane) -> Iterator[None]:
    with gateways(plane, "10.5.0"):
        yield


@pytest.fixture
def shop(plane: Plane, lasting_plugin: Plugin, namespace: str) -> Shop:
    return Shop(plane, namespace, dialect=Dialect.MULTICLUSTER)


def traffic(shop: Shop, key: str = "default/default/default/cluster-1") -> str:
    return f"""
apiVersion: {shop.dialect.api_version}
kind: GlobalTrafficPolicy
metadata: {{name: web, namespace: {shop.namespace}}}
spec: {{lbType: ActiveActive, targets: [{{clusterKey: {key}, weight: 0}}]}}
"""


async def policies(shop: Shop) -> set[str]:
    return shop.plane.client().names(resources.PROPAGATION_POLICIES, shop.namespace)


def member_has(shop: Shop, kind: Resource) -> set[str]:
    """Return the members that have an object called web."""
    return {member for member in MEMBERS if shop.plane.client(member).get(kind, "web", shop.namespace)}


def conditions(shop: Shop, kind: Resource) -> dict[str, dict[str, Any]]:
    found = shop.plane.client().get(kind, "web", shop.namespace).get("status", {})
    return {c["type"]: c for c in found.get("conditions", ())}


async def test_an_export_without_a_policy_follows_its_service(shop: Shop, members: dict[str, Client]) -> None:
    shop.apply(shop.service(), shop.export(), shop.policy(export=False))

    await until(lambda: shop.seen(members), lambda seen: sorted(seen) == MEMBERS)
    assert member_has(shop, shop.exports) == BOTH
    assert "towpath-export-web" in await policies(shop)

    fewer = Shop(shop.plane, shop.namespace, ("cluster-3",), shop.dialect)
    fewer.apply(fewer.policy(export=False))
    await until(lambda: shop.seen(members), lambda seen: sorted(seen) == ["cluster-1", "cluster-2"])

    async def exporting() -> set[str]:
        return member_has(shop, shop.exports)

    await until(exporting, lambda seen: seen == {"cluster-3"})


async def test_a_user_policy_takes_over_while_it_exists(shop: Shop, members: dict[str, Client]) -> None:
    shop.apply(shop.service(), shop.export(), shop.policy(export=False))
    await until(lambda: shop.seen(members), lambda seen: sorted(seen) == MEMBERS)

    shop.apply(shop.policy())
    await until(lambda: policies(shop), lambda seen: "towpath-export-web" not in seen)

    async def holder() -> str:
        meta = shop.plane.client().get(shop.exports, "web", shop.namespace)["metadata"]
        return str(meta.get("annotations", {}).get("propagationpolicy.karmada.io/name"))

    await until(holder, lambda seen: seen == "web")
    assert sorted(await shop.seen(members)) == MEMBERS

    shop.apply(shop.policy(export=False))
    await until(holder, lambda seen: seen == "towpath-export-web")
    assert sorted(await shop.seen(members)) == MEMBERS


async def test_a_traffic_policy_follows_imports_and_is_checked(
    shop: Shop, members: dict[str, Client]
) -> None:
    shop.apply(traffic(shop))

    async def statuses() -> dict[str, tuple[str, str]]:
        return {t: (c["status"], c["reason"]) for t, c in conditions(shop, TRAFFIC).items()}

    await until(statuses, lambda found: found.get("Resolved") == ("False", "NotExported"))
    assert "towpath-traffic-web" not in await policies(shop)

    shop.apply(shop.service(), shop.export(), shop.policy())
    await until(
        statuses, lambda found: found == {"Accepted": ("True", "Accepted"), "Resolved": ("True", "Resolved")}
    )
    assert "The weight 0 counts as 100" in conditions(shop, TRAFFIC)["Accepted"]["message"]

    async def having() -> set[str]:
        return member_has(shop, TRAFFIC)

    await until(having, lambda found: found == set(MEMBERS))

    shop.apply(traffic(shop, "default/default/default/paris"))
    await until(statuses, lambda found: found.get("Resolved") == ("False", "UnknownClusterKey"))

"""What the status of a ServiceExport says, and that it is true: the members' own word counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import MEMBERS, Plane, Plugin
from tests.e2e.shop import Shop, gateways
from tests.support.waiting import until
from towpath.karmada.client import Client
from towpath.local import processes
from towpath.model.keys import Dialect


@pytest.fixture(autouse=True)
def reachable(plane: Plane) -> Iterator[None]:
    with gateways(plane, "10.3.0"):
        yield


@pytest.fixture(params=list(Dialect), ids=lambda dialect: dialect.value)
def shop(request: pytest.FixtureRequest, plane: Plane, plugin: Plugin, namespace: str) -> Shop:
    return Shop(plane, namespace, dialect=request.param)


def status(shop: Shop) -> dict[str, Any]:
    kind = f"serviceexports.{shop.dialect.value}"
    found = shop.plane.kubectl("get", kind, "web", "-n", shop.namespace, "-o", "jsonpath={.status}").stdout
    return json.loads(found) if found else {}


async def conditions(shop: Shop) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in status(shop).get("conditions", ())}


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
    said = status(shop)
    assert said["offeredTo"] == MEMBERS
    assert said["conditions"][0]["message"] == "Exported by cluster-1, cluster-3."

    shop.apply(shop.service(8080))
    await until(lambda: conditions(shop), lambda seen: seen.get("Valid") == ("False", "NoMatchingPort"))


async def test_early_override_a_stale_copy_is_put_right(shop: Shop, members: dict[str, Client]) -> None:
    """Karmada says that all is applied and reports no error: only the member's own digest tells."""
    shop.apply(shop.service(), shop.export(), shop.policy())
    await until(lambda: conditions(shop), lambda seen: seen == GOOD)
    right = await shop.complete(members)
    listed = shop.plane.kubectl("get", "works", "-n", "karmada-es-cluster-1", "-o", "json").stdout
    (work,) = (item for item in json.loads(listed)["items"] if _is_import_of(item, shop.namespace))
    manifest = work["spec"]["workload"]["manifests"][0]
    manifest["spec"]["ports"] = []
    manifest["metadata"]["annotations"]["towpath.io/view"] = "stale"
    shop.plane.kubectl("replace", "-f-", stdin=json.dumps(work))
    await until(lambda: shop.seen(members), lambda seen: seen["cluster-1"] == {})

    await until(lambda: conditions(shop), lambda seen: seen.get("Ready") == ("False", "Pending"))
    await until(lambda: shop.seen(members), lambda seen: seen == right)
    await until(lambda: conditions(shop), lambda seen: seen == GOOD)
    assert "touched" in processes.tail(shop.plane.env.log("towpath-plugin"), 200)


def _is_import_of(work: dict[str, Any], namespace: str) -> bool:
    manifest = work["spec"]["workload"]["manifests"][0]
    is_import: bool = manifest["kind"] == "ServiceImport"
    return is_import and manifest["metadata"]["namespace"] == namespace

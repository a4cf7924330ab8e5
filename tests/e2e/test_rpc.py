"""The contract on a real Karmada: plans, changes as they happen, and a status that two writers agree on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import msgspec
import pytest

from tests.conftest import Plane, Plugin
from tests.e2e.shop import Shop, gateways
from tests.support.cli import towpath
from tests.support.plugins import refusal
from tests.support.waiting import until
from towpath.karmada import resources
from towpath.karmada.client import Object
from towpath.proto.v1alpha1 import inventory_pb2, planner_pb2, reviewer_pb2
from towpath.proto.v1alpha1.inventory_pb2_grpc import InventoryStub
from towpath.proto.v1alpha1.planner_pb2_grpc import PlannerStub
from towpath.proto.v1alpha1.reviewer_pb2_grpc import ReviewerStub


@pytest.fixture(autouse=True)
def reachable(plane: Plane) -> Iterator[None]:
    with gateways(plane, "10.7.0"):
        yield


@pytest.fixture
async def channel(plane: Plane, lasting_plugin: Plugin) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"unix:{plane.env.plugin_socket}") as channel:
        yield channel


@pytest.fixture
async def shop(plane: Plane, lasting_plugin: Plugin, namespace: str) -> Shop:
    """Export a service from cluster-1 and cluster-3, and wait until its status is Ready."""
    shop = Shop(plane, namespace)
    shop.apply(shop.service(), shop.export(), shop.policy())

    async def ready() -> dict[str, str]:
        return {kind: condition["status"] for kind, condition in (await shop.conditions()).items()}

    await until(ready, lambda seen: seen == {"Valid": "True", "Conflict": "False", "Ready": "True"})
    return shop


def export(shop: Shop) -> Object:
    return shop.plane.client().get(shop.exports, "web", shop.namespace)


async def test_a_plan_over_the_socket_is_that_of_the_command(
    shop: Shop, channel: grpc.aio.Channel, tmp_path: Path
) -> None:
    """Also: the plugin may read all that this takes."""
    changed = shop.export(8080)
    answer = await PlannerStub(channel).Plan(
        planner_pb2.PlanRequest(manifests=[planner_pb2.Manifest(text=changed)])
    )
    (manifest := tmp_path / "changed.yaml").write_text(changed)
    done = towpath("plan", "--kubeconfig", shop.plane.karmada, "--against-live", "-f", manifest, "-o", "json")
    document = json.loads(done.stdout)
    # What other tests have left goes between the two.
    [service] = [service for service in answer.services if service.explanation.namespace == shop.namespace]
    [printed] = [service for service in document["services"] if service["namespace"] == shop.namespace]
    assert [e.cluster for e in service.explanation.exporters] == printed["exporters"]
    assert [json.loads(text) for text in service.objects] == printed["objects"]
    assert [note for note in answer.notes if shop.namespace in note] == [
        note for note in document["notes"] if shop.namespace in note
    ]
    assert any(f"{shop.namespace}/web" in text for text in answer.differences)


async def test_a_service_is_followed_as_it_changes(shop: Shop, channel: grpc.aio.Channel) -> None:
    stream = aiter(
        InventoryStub(channel).WatchService(
            inventory_pb2.WatchServiceRequest(namespace=shop.namespace, name="web")
        )
    )

    async def exporters() -> list[str]:
        async with asyncio.timeout(30):
            return [exporter.cluster for exporter in (await anext(stream)).explanation.exporters]

    assert await exporters() == ["cluster-1", "cluster-3"]
    shop.apply(Shop(shop.plane, shop.namespace, ("cluster-1", "cluster-2")).policy())
    await until(exporters, lambda seen: seen == ["cluster-1", "cluster-2"])
    shop.delete(shop.exports)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await until(exporters, lambda _: False)
    assert refusal(caught.value) == (grpc.StatusCode.NOT_FOUND, "EXPORT_GONE", {})


async def test_karmada_gets_what_the_controller_writes(shop: Shop, channel: grpc.aio.Channel) -> None:
    reviewer = ReviewerStub(channel)

    async def aggregated(obj: dict[str, Any]) -> bytes | None:
        binding = shop.plane.client().get(resources.BINDINGS, "web-serviceexport", shop.namespace)
        answer = await reviewer.AggregateStatus(
            reviewer_pb2.AggregateStatusRequest(
                object=json.dumps(obj).encode(),
                aggregated_status=json.dumps(binding["status"]["aggregatedStatus"]).encode(),
            )
        )
        return answer.status if answer.HasField("status") else None

    before = export(shop)
    assert await aggregated(before) is None
    refused = {"type": "Valid", "status": "False", "reason": "Bad", "message": "no such port"}
    refused["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    reported = {"conditions": [refused]}
    shop.plane.client("cluster-3").merge(shop.exports, "web", shop.namespace, "status", status=reported)

    async def now() -> dict[str, Any]:
        return export(shop)

    def follows(seen: dict[str, Any]) -> bool:
        conditions = {c["type"]: c for c in seen["status"]["conditions"]}
        left_out = "cluster-3 (RefusedInMember: no such port)" in conditions["Valid"]["message"]
        return left_out and conditions["Ready"]["status"] == "True"

    after = await until(now, follows)
    assert await aggregated(after) is None
    assert await aggregated(before) == msgspec.json.encode(after["status"], order="sorted")

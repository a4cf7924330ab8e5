"""Plans over gRPC: what manifests would change in a Karmada, the same as in `towpath plan`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import grpc
import grpc.aio
import pytest

from tests.support.checkout import TOP
from tests.support.inventories import Object, clusters, export, exported, knowing, policy, service
from tests.support.plugins import refusal, serving
from tests.support.worlds import key_of
from towpath.model import manifest
from towpath.proto.v1alpha1 import planner_pb2 as pb
from towpath.proto.v1alpha1.planner_pb2_grpc import PlannerStub

pytestmark = pytest.mark.timeout(120)
WALKTHROUGH = sorted((TOP / "examples" / "walkthrough").glob("*.yaml"))
LIVE = [*clusters("a", "b", "c"), *exported("web", "a", "b")]


async def plan(tmp_path: Path, live: Sequence[Object], *texts: str, **more: object) -> pb.PlanResponse:
    request = pb.PlanRequest(manifests=[pb.Manifest(text=text) for text in texts], **more)  # type: ignore[arg-type]
    async with serving(tmp_path / "s", knowing(*live), live=live) as channel:
        return await PlannerStub(channel).Plan(request)


async def test_the_walk_through_is_planned_as_the_command_does_it(tmp_path: Path) -> None:
    answer = await plan(tmp_path, [], *(path.read_text() for path in WALKTHROUGH))
    [service] = answer.services
    assert [e.cluster for e in service.explanation.exporters] == ["cluster-1", "cluster-3"]
    assert [i.cluster for i in service.explanation.importers] == ["cluster-1", "cluster-2", "cluster-3"]
    objects = [json.loads(text) for text in service.objects]
    assert [obj["kind"] for obj in objects] == ["OverridePolicy", "PropagationPolicy", "ServiceImport"]
    assert len(objects[-1]["spec"]["ports"][0]["endpoints"]) == 2
    assert [c.name for c in answer.clusters] == ["cluster-1", "cluster-2", "cluster-3"]
    assert [[*p.clusters] for p in answer.traffic_policies] == [["cluster-2"]]
    assert any("No Karmada Cluster is given" in note for note in answer.notes)
    assert len(answer.differences) == 3, "nothing of it is there yet"
    assert not answer.refusals


async def test_manifests_are_put_on_top_of_what_is_there(tmp_path: Path) -> None:
    before = await plan(tmp_path, LIVE)
    assert [e.cluster for e in before.services[0].explanation.exporters] == ["a", "b"]
    changed = manifest.dump(export("web", (80, "/new"), targets=[key_of("a")]))
    more = json.dumps({"apiVersion": "v1", "kind": "List", "items": [service("cart"), export("cart")]})
    after = await plan(tmp_path, LIVE, changed, more)
    cart, web = after.services
    assert web.explanation.importers[0].ports[0].endpoints[0].path == "/new"
    assert [i.cluster for i in web.explanation.importers] == ["a"]
    assert not cart.explanation.exporters
    # Nothing of it is remembered: the plugin's own world is what Karmada has.
    assert await plan(tmp_path, LIVE) == before


async def test_an_impossible_plan_is_reported_for_its_object(tmp_path: Path) -> None:
    wrong = manifest.dump(policy("web", "FailOver"))
    answer = await plan(tmp_path, LIVE, wrong)
    [planned] = answer.traffic_policies
    assert [e.reason for e in planned.errors] == ["FailOverTargets"]
    assert [w.reason for w in planned.warnings] == []
    [refused] = answer.refusals
    assert refused.startswith(
        "GlobalTrafficPolicy shop/web (flomesh.io): spec.targets: FailOver needs at least"
    )


async def test_objects_without_a_namespace_get_the_requested_one(tmp_path: Path) -> None:
    bare = manifest.dump({**export("web"), "metadata": {"name": "bare"}})
    for asked, there in (("", "default"), ("team", "team")):
        answer = await plan(tmp_path, [], bare, namespace=asked)
        assert [service.explanation.namespace for service in answer.services] == [there]


async def test_gateway_names_resolve_as_the_request_states(tmp_path: Path) -> None:
    live = [*LIVE[3:], *clusters("b", "c")]
    named = {**clusters("a")[0]}
    named["metadata"] = {**named["metadata"], "annotations": {"towpath.io/gateway": "gw.example:80"}}
    text = manifest.dump(named)
    unknown = await plan(tmp_path, live, text)
    assert [(e.cluster, e.reason) for e in unknown.services[0].explanation.excluded] == [
        ("a", "GatewayUnresolved")
    ]
    known = await plan(tmp_path, live, text, resolve={"gw.example": "10.7.7.7"})
    assert [e.cluster for e in known.services[0].explanation.exporters] == ["a", "b"]


@pytest.mark.parametrize(
    ("texts", "namespace", "field", "problem"),
    [
        (["a: b"], "", "manifests[0].text", "manifests[0]: document 1: Not a Kubernetes object"),
        (["", "{"], "", "manifests[1].text", "manifests[1]:2: Invalid YAML"),
        (["", "", "[" * 20_000], "", "manifests[2].text", "exceeded maximum nesting depth"),
        (
            [manifest.dump({**export(), "spec": {"rules": [{"portNumber": 0}]}})],
            "",
            "manifests[0].text",
            "manifests[0]: ServiceExport shop/web: spec.rules[0].portNumber: Invalid value",
        ),
        ([], "No/", "namespace", "Invalid value 'No/': must be the name of a namespace."),
    ],
)
async def test_requests_that_cannot_be_planned(
    tmp_path: Path, texts: list[str], namespace: str, field: str, problem: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await plan(tmp_path, LIVE, *texts, namespace=namespace)
    code, reason, fields = refusal(caught.value)
    assert (code, reason, [*fields]) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", [field])
    assert problem in fields[field]


async def test_a_manifest_is_called_by_its_name(tmp_path: Path) -> None:
    request = pb.PlanRequest(manifests=[pb.Manifest(source="shop.yaml", text="a: b")])
    async with serving(tmp_path / "s", knowing(*LIVE), live=LIVE) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match=r"shop\.yaml: document 1: Not a Kubernetes object"):
            await PlannerStub(channel).Plan(request)

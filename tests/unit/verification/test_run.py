"""The run in a member: what it creates is removed, whatever happens."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support.standin import answered_by
from tests.support.waiting import until
from towpath.karmada.client import Client
from towpath.karmada.member_access import MemberAccess
from towpath.rules.reasons import CallReason
from towpath.verification.plan import Call, Outcome, Pair, Plan
from towpath.verification.run import Order, verify

TARGET = "GET 10.0.0.1:80 /web/"
PLAN = Plan({"a": (Call(Pair("shop/web", "a", "b", 80), TARGET),)})
ORDER = Order(image="", call_seconds=1, pod_seconds=0.2)
PROXY = "/apis/cluster.karmada.io/v1alpha1/clusters/a/proxy"
NODE = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
AGENT = {"spec": {"template": {"spec": {"containers": [{"name": "agent", "image": "towpath:1"}]}}}}
ENDED = {"phase": "Succeeded"}


class Member:
    """The apiserver of a member with a node, as Karmada's proxy shows it."""

    def __init__(self, **different: Any) -> None:
        self.nodes, self.agent, self.status = [NODE], AGENT, ENDED
        self.refused = ""
        self.log = json.dumps({"target": TARGET, "status": 200})
        self.namespaces: list[str] = []
        self.made: list[str] = []
        self.pods: list[dict[str, Any]] = []
        vars(self).update(different)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        assert request.path.startswith(PROXY)
        path, method = request.path.removeprefix(PROXY), request.method
        if self.refused and method == "POST" and path.endswith(self.refused):
            return web.json_response({"message": "no", "reason": "Forbidden"}, status=403)
        if method == "POST":
            return self._created(path, await request.json())
        if method == "DELETE":
            self.namespaces.remove(path.rpartition("/")[2])
            return web.json_response({})
        found = self._found(path)
        if found is None:
            return web.json_response({"message": "not found", "reason": "NotFound"}, status=404)
        return web.Response(text=found if isinstance(found, str) else json.dumps(found))

    def _created(self, path: str, obj: dict[str, Any]) -> web.Response:
        if path == "/api/v1/namespaces":
            self.namespaces.append(obj["metadata"]["name"])
            self.made.append(obj["metadata"]["name"])
        else:
            self.pods.append(obj)
        return web.json_response(obj, status=201)

    def _found(self, path: str) -> object:
        if path == "/api/v1/nodes":
            return {"items": self.nodes}
        if path.endswith("/daemonsets/towpath-net"):
            return self.agent
        if path.endswith("/log"):
            return self.log
        if path.endswith("/pods/verify"):
            return {"status": self.status}
        return {} if path.rpartition("/")[2] in self.namespaces else None


async def _run(client: Client, warned: list[str]) -> list[Outcome]:
    async with MemberAccess(client, None, "test") as members:
        return await verify(members, PLAN, ORDER, warned.append)


async def run(member: Member, folder: Path) -> Outcome:
    warned: list[str] = []
    async with answered_by(member.answer, folder) as client:
        (outcome,) = await _run(client, warned)
    assert (member.namespaces, warned) == ([], [])
    return outcome


async def test_the_pod_calls_and_nothing_is_left(tmp_path: Path) -> None:
    member = Member()

    outcome = await run(member, tmp_path)

    assert (outcome.reason, outcome.pair) == (None, Pair("shop/web", "a", "b", 80))
    assert len(member.made) == 1
    (pod,) = member.pods
    assert (pod["metadata"]["namespace"], pod["spec"]["containers"][0]["image"]) == (
        member.made[0],
        "towpath:1",
    )


@pytest.mark.parametrize(
    ("member", "reason", "words"),
    [
        (Member(nodes=[]), CallReason.NO_NODE, "Add a node"),
        (Member(agent=None), CallReason.NO_DATA_PATH, "install --data-path"),
        (Member(refused="/namespaces"), CallReason.NO_ACCESS, "no: The apiserver"),
        (
            Member(status={"phase": "Pending", "reason": "NoImage"}),
            CallReason.POD_NOT_RUN,
            "NoImage: The pod",
        ),
        (Member(log=""), CallReason.POD_NOT_RUN, "The pod is Succeeded"),
    ],
    ids=["no node", "no data path", "not allowed", "pod pending", "program not started"],
)
async def test_what_cannot_be_tried_is_not_ok(
    member: Member, reason: CallReason, words: str, tmp_path: Path
) -> None:
    outcome = await run(member, tmp_path)

    assert (outcome.reason, outcome.made) == (reason, False)
    assert words in outcome.text


async def test_what_is_interrupted_is_removed_as_well(tmp_path: Path) -> None:
    member, warned = Member(status={"phase": "Running"}), list[str]()
    async with answered_by(member.answer, tmp_path) as client:
        running = asyncio.create_task(_run(client, warned))

        async def created() -> bool:
            return bool(member.pods)

        await until(created, bool)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    assert (len(member.made), member.namespaces, warned) == (1, [], [])


async def test_what_cannot_be_removed_is_named(tmp_path: Path) -> None:
    member, warned = Member(), list[str]()

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.method == "DELETE":
            return web.json_response({"message": "no", "reason": "Forbidden"}, status=403)
        return await member.answer(request)

    async with answered_by(answer, tmp_path) as client:
        (outcome,) = await _run(client, warned)

    assert outcome.reason is None
    assert warned[0].startswith(f"Namespace {member.made[0]} in a: ")
    assert warned[0].endswith("Delete it.\n")

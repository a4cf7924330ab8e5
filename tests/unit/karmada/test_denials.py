"""Missing permissions are reported together, once, with the fix."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import structlog
from aiohttp import web

from tests.support.standin import answered_by
from tests.support.waiting import until
from towpath.errors import ApiError
from towpath.karmada import denials, reflector
from towpath.karmada.client import Resource
from towpath.karmada.denials import Denials
from towpath.karmada.reflector import Reflector
from towpath.karmada.resources import NAMESPACES, SERVICES


def refusal(verb: str, resource: Resource) -> str:
    return (
        f'{resource.plural} is forbidden: User "t" cannot {verb} resource "{resource.plural}" in API group '
        f'"{resource.group}" at the cluster scope'
    )


async def test_a_reflector_without_permissions_does_not_fill_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denials, "COLLECT_SECONDS", 0.05)
    monkeypatch.setattr(reflector, "_LONGEST_PAUSE", 0.02)
    asked = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        resource = NAMESPACES if request.path.endswith("namespaces") else SERVICES
        return web.json_response({"message": refusal("list", resource)}, status=403)

    async def often() -> bool:
        return asked > 20

    with structlog.testing.capture_logs() as logs:
        async with answered_by(answer, tmp_path) as client:
            running = [
                asyncio.create_task(Reflector(client, kind, lambda _: True, lambda *_: None).run())
                for kind in (NAMESPACES, SERVICES)
            ]
            await until(often, bool)
            problem = client.problem
            for task in running:
                task.cancel()
    (line,) = logs
    assert (line["user"], line["missing"]) == ("t", ["list namespaces", "list services"])
    assert "towpath install" in line["fix"]
    assert problem.startswith("The user 't' lacks permissions: list namespaces, list services. Run")


async def test_a_refusal_of_admission_is_no_missing_permission() -> None:
    found = Denials()
    assert not found.note(ApiError("PATCH /x: admission webhook denied the request: no", 403))
    assert not found.problem


async def test_a_permission_granted_again_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Denials()
    assert found.note(ApiError(refusal("patch", SERVICES), 403))
    assert "patch services" in found.problem
    monkeypatch.setattr(denials, "RECENT_SECONDS", -1.0)
    assert not found.problem

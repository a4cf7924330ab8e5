"""When a plugin without a lease works, and that none works while Towpath is not installed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web

from tests.support.standin import answered_by
from tests.support.waiting import until
from towpath.karmada.client import Client
from towpath.karmada.installation import NOT_INSTALLED, Installation
from towpath.karmada.leading import Leading, Unopposed, WhileInstalled
from towpath.model.installation import PathScope

HELD = {"holderIdentity": "other", "leaseDurationSeconds": 1000, "renewTime": "1"}


def leads(leading: Leading) -> bool:
    return leading.is_leader


class Worker:
    """Work that says whether it runs."""

    def __init__(self) -> None:
        self.is_at_work = False
        self.begun = 0

    async def work(self) -> None:
        self.is_at_work, self.begun = True, self.begun + 1
        try:
            await asyncio.Event().wait()
        finally:
            self.is_at_work = False

    async def state(self) -> bool:
        return self.is_at_work


class Leases:
    """An apiserver that serves leases, or refuses to."""

    def __init__(self) -> None:
        self.specs: list[dict[str, Any]] = []
        self.status = 200
        self.asked = 0

    async def count(self) -> int:
        return self.asked

    async def answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        items = [{"metadata": {"name": f"l{n}"}, "spec": spec} for n, spec in enumerate(self.specs)]
        return web.json_response({"items": items, "message": "no"}, status=self.status)


@asynccontextmanager
async def unopposed(folder: Path, leases: Leases) -> AsyncIterator[tuple[Unopposed, Worker]]:
    worker = Worker()
    async with answered_by(leases.answer, folder) as client:
        leading = Unopposed(client, look_seconds=0.01)
        running = asyncio.create_task(leading.lead(worker.work))
        yield leading, worker
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert not worker.is_at_work


async def test_without_a_lease_a_plugin_works_while_none_is_held(tmp_path: Path) -> None:
    leases = Leases()
    with structlog.testing.capture_logs() as logs:
        async with unopposed(tmp_path, leases) as (leading, worker):
            await until(worker.state, bool)
            assert leads(leading)
            leases.specs = [{}, HELD]
            await until(worker.state, lambda works: not works)
            assert not leads(leading)
            leases.specs = [{**HELD, "holderIdentity": ""}]
            await until(worker.state, bool)
    (line,) = [line for line in logs if "holds a lease" in line["event"]]
    assert line["holder"] == "l1 is held by other"
    assert "--lease" in line["fix"]


async def test_a_plugin_beside_a_held_lease_does_not_even_begin(tmp_path: Path) -> None:
    leases = Leases()
    leases.specs = [HELD]
    async with unopposed(tmp_path, leases) as (leading, worker):
        asked = await until(leases.count, lambda asked: asked > 3)
        assert asked
        assert not leads(leading)
        assert not worker.begun


async def test_a_holder_that_does_not_renew_is_gone(tmp_path: Path) -> None:
    leases = Leases()
    leases.specs = [{**HELD, "leaseDurationSeconds": 0.1}]
    async with unopposed(tmp_path, leases) as (_, worker):
        await until(worker.state, bool)


async def test_leases_that_cannot_be_read_block_none(tmp_path: Path) -> None:
    leases = Leases()
    leases.status = 403
    with structlog.testing.capture_logs() as logs:
        async with unopposed(tmp_path, leases) as (_, worker):
            await until(worker.state, bool)
            await until(leases.count, lambda asked: asked > 3)
    assert len([line for line in logs if line["event"] == "leases not read"]) == 1


class Always:
    """A leadership that is always ours."""

    is_leader = True

    async def lead(self, work: Any) -> None:
        await work()


class Marker:
    """An apiserver that serves the marker of the installation, and tells when it goes or comes."""

    def __init__(self, *, there: bool) -> None:
        self.events: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
        self.there = there
        self.data: dict[str, str] | None = None

    def obj(self, version: int) -> dict[str, Any]:
        metadata = {"name": "towpath", "namespace": "karmada-system", "resourceVersion": str(version)}
        return {"metadata": metadata, "data": self.data}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        assert request.path == "/api/v1/namespaces/karmada-system/configmaps"
        assert request.query["fieldSelector"] == "metadata.name=towpath"
        if "watch" not in request.query:
            items = [self.obj(1)] if self.there else []
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": items})
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            kind, version = await self.events.get()
            await response.write(json.dumps({"type": kind, "object": self.obj(version)}).encode() + b"\n")


@asynccontextmanager
async def installed(client: Client) -> AsyncIterator[tuple[Installation, WhileInstalled, Worker]]:
    worker, installation = Worker(), Installation(client)
    leading = WhileInstalled(Always(), installation)
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(installation.reflector.run()),
            tasks.create_task(leading.lead(worker.work)),
        ]
        yield installation, leading, worker
        for task in running:
            task.cancel()


async def test_work_stops_at_uninstall_and_resumes_at_install(tmp_path: Path) -> None:
    marker = Marker(there=True)
    async with answered_by(marker.answer, tmp_path) as client, installed(client) as (there, leading, worker):
        await until(worker.state, bool)
        assert leads(leading)
        assert not there.problem
        await marker.events.put(("DELETED", 2))
        await until(worker.state, lambda works: not works)
        assert not leads(leading)
        assert there.problem == NOT_INSTALLED
        await marker.events.put(("ADDED", 3))
        await until(worker.state, bool)
        assert not there.problem


async def test_work_begins_with_the_scope_of_paths(tmp_path: Path) -> None:
    marker, scopes = Marker(there=True), list[PathScope]()
    marker.data = {"paths": "namespaced"}

    async def known() -> list[PathScope]:
        return scopes

    async with answered_by(marker.answer, tmp_path) as client, installed(client) as (there, _, worker):
        there.scope_known = scopes.append
        await until(worker.state, bool)
        assert scopes == [PathScope.NAMESPACED]
        marker.data = {"paths": "shared"}
        await marker.events.put(("MODIFIED", 2))
        await until(known, lambda scopes: scopes[1:] == [PathScope.SHARED])


async def test_before_an_installation_nothing_is_written(tmp_path: Path) -> None:
    marker = Marker(there=False)
    async with answered_by(marker.answer, tmp_path) as client, installed(client) as (there, leading, worker):
        await there.reflector.synced.wait()
        assert there.problem == NOT_INSTALLED
        assert not leads(leading)
        assert not worker.begun

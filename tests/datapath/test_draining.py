"""The end of a proxy: its clients change to another one, and no call fails meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from structlog.testing import capture_logs

from tests.datapath.conftest import Fleet
from tests.support.load import load
from tests.support.waiting import until
from towpath.net.draining import drain

SECONDS = 1.0


@pytest.mark.parametrize("role", ["egress", "gateway"])
async def test_an_answer_ends_its_connection(fleet: Fleet, session: aiohttp.ClientSession, role: str) -> None:
    path, url = {
        "egress": (fleet.client, fleet.url),
        "gateway": (fleet.first, f"{fleet.first.address}:{fleet.first.settings.gateway_port}/web"),
    }[role]

    async def ends() -> bool:
        async with session.get(f"http://{url}") as answer:
            assert answer.status == 200
            return answer.headers.get("Connection") == "close"

    async with load(session, url) as calls:
        await calls.until(20)
        assert not await ends()
        draining = asyncio.create_task(drain(path.folder / "admin.sock", SECONDS))
        await until(ends, bool)
        await draining
        await calls.until(20)
        assert await ends()
    assert calls.failed == {}


async def test_an_envoy_that_does_not_answer_is_left(tmp_path: Path) -> None:
    with capture_logs() as logs:
        await drain(tmp_path / "admin.sock", 0.1)

    assert [line["event"] for line in logs] == ["draining", "Envoy is not told to drain"]

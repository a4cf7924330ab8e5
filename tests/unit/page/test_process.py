"""The page's process beside a real gRPC server, and what the command refuses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from typer.testing import CliRunner

from tests.support.inventories import binding, clusters, exported, knowing, tell
from tests.support.plugins import server
from tests.support.waiting import until
from towpath.cli.serve import app
from towpath.errors import UsageError
from towpath.local.ports import free_ports
from towpath.page import feed
from towpath.page.access import LocalOnly
from towpath.page.process import serve

pytestmark = pytest.mark.timeout(60)
WEB = exported("web", "a", "b")


@asynccontextmanager
async def running(socket: Path, session: aiohttp.ClientSession) -> AsyncIterator[tuple[str, str]]:
    """Run the process; give the addresses of the page and of its health."""
    page, health = (f"127.0.0.1:{port}" for port in free_ports(2))
    task = asyncio.create_task(serve(f"unix:{socket}", None, page, LocalOnly(), health=health))

    async def is_up() -> bool:
        try:
            async with session.get(f"http://{health}/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientConnectionError:
            return False

    try:
        await until(is_up, bool)
        yield f"http://{page}", f"http://{health}"
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_the_page_survives_a_restart_of_the_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "LAST_RETRY_SECONDS", 0.2)
    inventory = knowing(*clusters("a", "b", "c"), *WEB)
    socket = tmp_path / "s"
    async with aiohttp.ClientSession() as session, running(socket, session) as (page, health):

        async def picture() -> dict[str, Any]:
            async with session.get(f"{page}/api/picture") as answer:
                found: dict[str, Any] = json.loads(await answer.text())
                return found

        before = await picture()
        assert (before["members"], before["source"].get("connected", False)) == ([], False)
        async with server(inventory, socket) as plugin:
            plugin.in_sync()
            await until(picture, lambda seen: seen["source"].get("connected", False))
            tell(inventory, binding(WEB[1], "a"))
            await until(picture, lambda seen: seen["services"][0]["exporters"] == [0])
            async with session.get(f"{page}/api/explain?namespace=shop&name=web") as answer:
                assert json.loads(await answer.text())["steps"][0]["step"] == "Export"
        lost = await until(picture, lambda seen: not seen["source"].get("connected", False))
        assert len(lost["members"]) == 3
        async with session.get(f"{health}/metrics") as answer:
            assert "towpath_page_connected 0.0" in await answer.text()
        tell(inventory, binding(WEB[1], "b"))
        async with server(inventory, socket) as plugin:
            plugin.in_sync()
            await until(picture, lambda seen: seen["source"].get("connected", False))
            assert (await picture())["services"][0]["exporters"] == [1]


REQUIRED = "--token-file: Required value."


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], REQUIRED),
        (["--listen", "0.0.0.0:0"], REQUIRED),
        (["--listen", "0.0.0.0:0", "--no-authentication"], "0.0.0.0 is not a loopback address"),
        (["--listen", ":0", "--no-authentication"], "Every interface is not a loopback address"),
        (["--no-authentication", "--token-file", "t"], "Pass neither --token-file nor --client-ca with it."),
        (["--token-file", "nowhere"], "nowhere: No such file or directory."),
        (["--client-ca", "ca"], "--client-ca: Pass --tls-cert and --tls-key as well."),
        (["--tls-cert", "c", "--no-authentication"], "--tls-cert and --tls-key: Pass both or none."),
        (["--listen", "127.0.0.1", "--no-authentication"], "--listen: Invalid value '127.0.0.1'"),
    ],
)
def test_it_does_not_listen_for_everyone(args: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["page", "--socket", "s", *args])
    assert isinstance(done.exception, UsageError)
    assert message in str(done.exception)

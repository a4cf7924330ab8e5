"""The client's way to the apiserver, through the proxy that is configured, and its deadlines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.support.kubeconfig import kubeconfig
from towpath.errors import Unreachable
from towpath.karmada.client import Client

APISERVER = "http://apiserver.invalid:8080"


@pytest.fixture
async def proxy(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """Run a proxy that answers everything by itself."""

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.json_response(
            {"asked": request.raw_path, "login": "Proxy-Authorization" in request.headers}
        )

    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    server = web.Server(answer)
    runner = web.ServerRunner(server)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_the_proxy_of_the_environment_is_used(
    proxy: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("http_proxy", f"http://who:secret@{proxy}")
    async with await Client.connect(kubeconfig(tmp_path, APISERVER), user_agent="tests") as client:
        assert await client.json("GET", "/version") == {"asked": f"{APISERVER}/version", "login": True}


async def test_the_proxy_of_the_kubeconfig_comes_first(
    proxy: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("http_proxy", "http://nobody.invalid:1")
    config = kubeconfig(tmp_path, APISERVER, **{"proxy-url": f"http://{proxy}"})
    async with await Client.connect(config, user_agent="tests") as client:
        assert (await client.json("GET", "/version"))["asked"] == f"{APISERVER}/version"


@pytest.mark.parametrize("exempt", ["apiserver.invalid", ".invalid", "apiserver.invalid:8080", "*"])
async def test_an_apiserver_that_needs_no_proxy_is_asked_directly(
    exempt: str, proxy: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("http_proxy", f"http://{proxy}")
    monkeypatch.setenv("no_proxy", exempt)
    async with await Client.connect(kubeconfig(tmp_path, APISERVER), user_agent="tests") as client:
        with pytest.raises(Unreachable):
            await client.json("GET", "/version")


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """Run an apiserver that never answers."""

    async def answer(_: web.BaseRequest) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    runner = web.ServerRunner(web.Server(answer, handler_cancellation=True), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_a_request_ends_at_its_deadline(silent: str, tmp_path: Path) -> None:
    async with await Client.connect(kubeconfig(tmp_path, silent), user_agent="tests") as client:
        with pytest.raises(Unreachable, match="No answer to GET /version in time"):
            await client.json("GET", "/version", deadline=0.05)


@pytest.mark.parametrize("before", [0.001, -0.001])
async def test_a_cancellation_at_the_deadline_is_not_lost(before: float, silent: str, tmp_path: Path) -> None:
    deadline, loop = 0.5, asyncio.get_running_loop()
    async with await Client.connect(kubeconfig(tmp_path, silent), user_agent="tests") as client:
        due = loop.time() + deadline
        asking = asyncio.create_task(client.json("GET", "/version", deadline=deadline))
        await asyncio.sleep(deadline / 5)
        loop.call_at(due - before, asking.cancel)
        time.sleep(deadline)  # noqa: ASYNC251 - so that both are due in one turn of the loop
        await asyncio.wait({asking})
        assert asking.cancelled()

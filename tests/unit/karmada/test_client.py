"""The client's way to the apiserver: through the proxy that the environment or the kubeconfig names."""

from __future__ import annotations

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

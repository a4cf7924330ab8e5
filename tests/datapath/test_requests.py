"""Requests through real Envoys: who answers, and what an application sees of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.support.envoys import App, DataPath, app, call, data_path, said
from tests.support.members import export, gateway, imported, key, policy, serving, using


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as one:
        yield one


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[DataPath]:
    """Return the data path of the member that imports."""
    async with data_path(tmp_path / "client", "cluster-2") as path:
        yield path


@pytest.fixture
async def first(tmp_path: Path) -> AsyncIterator[tuple[DataPath, App]]:
    """Return a member that exports, and its pod."""
    async with data_path(tmp_path / "first", "cluster-1") as path, app("pod-1") as pod:
        await path.apply(serving(key(), export("/web"), pod.address))
        yield path, pod


@pytest.fixture
async def second(tmp_path: Path) -> AsyncIterator[tuple[DataPath, App]]:
    async with data_path(tmp_path / "second", "cluster-3") as path, app("pod-3") as pod:
        await path.apply(serving(key(), export("/other"), pod.address))
        yield path, pod


async def test_weights_are_exact_over_different_paths(
    client: DataPath,
    first: tuple[DataPath, App],
    second: tuple[DataPath, App],
    session: aiohttp.ClientSession,
) -> None:
    gateways = (
        gateway("cluster-1", first[0].address, path="/web"),
        gateway("cluster-3", second[0].address, path="/other"),
    )
    for weights in ((3, 1), (1, 9), (100, 1)):
        spread = policy("ActiveActive", ("cluster-1", weights[0]), ("cluster-3", weights[1]))
        await client.apply(using(key(), imported(*gateways), spread))
        url = client.listener("shop", "web", 80)
        # Both were used at least once: no health check is pending.
        await call(session, url + "/get")
        seen = Counter([await call(session, f"{url}/get") for _ in range(sum(weights) * 4)])
        assert seen == {"pod-1": weights[0] * 4, "pod-3": weights[1] * 4}
    assert (await said(session, f"{url}/a/b?c=d"))["path"] == "/a/b?c=d"
    assert client.rejections == first[0].rejections == second[0].rejections == 0

"""Two members that export and one that imports, each with a real Envoy on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.support.envoys import App, DataPath, app, data_path
from tests.support.members import export, gateway, imported, key, policy, serving, using
from towpath.datapath.world import MemberPolicy, World


@dataclass(frozen=True)
class Fleet:
    """Clients are in cluster-2; pods of the Service shop/web run in cluster-1 and cluster-3."""

    client: DataPath
    first: DataPath
    second: DataPath
    pod_1: App
    pod_3: App

    @property
    def url(self) -> str:
        """Where clients reach the Service."""
        return self.client.listener("shop", "web", 80)

    def importing(self, how: MemberPolicy | None, *, path: str = "/web", other: str = "/web") -> World:
        """Return the world of the importing member."""
        gateways = (
            gateway("cluster-1", self.first.address, path=path),
            gateway("cluster-3", self.second.address, path=other),
        )
        return using(key(), imported(*gateways), how)

    @property
    def rejections(self) -> float:
        """How many updates the three Envoys have rejected."""
        return sum(proxy.rejections for proxy in (self.client, self.first, self.second))


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=200)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20), connector=connector) as client:
        yield client


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with (
        data_path(tmp_path / "2", "cluster-2") as client,
        data_path(tmp_path / "1", "cluster-1") as first,
        data_path(tmp_path / "3", "cluster-3") as second,
        app("pod-1") as pod_1,
        app("pod-3") as pod_3,
    ):
        found = Fleet(client, first, second, pod_1, pod_3)
        await first.apply(serving(key(), export(), pod_1.address))
        await second.apply(serving(key(), export(), pod_3.address))
        await client.apply(found.importing(policy("ActiveActive")))
        yield found
        assert found.rejections == 0

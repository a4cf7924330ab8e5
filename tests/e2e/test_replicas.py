"""Two plugins, one leads: what they say of themselves, and that the other takes over."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import Plane
from tests.e2e.shop import Shop, gateways
from tests.support.waiting import until
from towpath.karmada.client import Client
from towpath.local.ports import free_ports

LEASE, RENEWAL = 15.0, 2.0
"""Seconds that a leader has its lease for, and after which it renews it."""
SLACK = 15.0
"""Seconds for a busy machine, from the end of a dead leader's lease to another's import in a member."""


@dataclass(frozen=True)
class Replica:
    """One plugin process."""

    process: subprocess.Popen[bytes]
    port: int

    async def ask(self, path: str) -> tuple[int, str]:
        """Return status and text; status 0 while there is no answer."""
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{self.port}{path}") as found,
            ):
                return found.status, await found.text()
        except aiohttp.ClientError:
            return 0, ""

    async def leads(self) -> bool:
        return "towpath_leader 1.0" in (await self.ask("/metrics"))[1]


@pytest.fixture(autouse=True)
def reachable(plane: Plane) -> Iterator[None]:
    with gateways(plane, "10.4.0"):
        yield


@pytest.fixture
async def start(plane: Plane, namespace: str, tmp_path: Path) -> AsyncIterator[Callable[[], Replica]]:
    """Start plugins that share a lease."""
    replicas: list[Replica] = []

    def begin() -> Replica:
        (port,) = free_ports(1)
        with (tmp_path / f"replica-{port}.log").open("wb") as log:
            command = [sys.executable, "-m", "towpath", "serve", "plugin", f"--kubeconfig={plane.env.plugin}"]
            options = [f"--lease=karmada-system/towpath-{namespace}", f"--health=127.0.0.1:{port}"]
            process = subprocess.Popen([*command, *options], stderr=log, stdout=log)
        replicas.append(Replica(process, port))
        return replicas[-1]

    yield begin
    for replica in replicas:
        if replica.process.poll() is None:
            os.kill(replica.process.pid, signal.SIGTERM)
            replica.process.wait(10)


async def test_of_two_replicas_one_leads_and_the_other_takes_over(
    plane: Plane, namespace: str, members: dict[str, Client], start: Callable[[], Replica]
) -> None:
    first = start()
    await until(first.leads, bool)
    second = start()
    await until(lambda: second.ask("/readyz"), lambda answer: answer[0] == 200)
    assert not await second.leads()
    assert (await first.ask("/healthz"))[0] == 200
    shop = Shop(plane, namespace)
    shop.apply(shop.service(), shop.export(), shop.policy())
    await shop.complete(members)
    status, metrics = await first.ask("/metrics")
    assert status == 200
    assert re.search(r'towpath_writes_total{kind="ServiceImport",verb="apply"} [1-9]', metrics)
    for pattern in (
        r'exports{condition="Valid",status="True"} [1-9]',
        r"export_to_member_seconds_count [1-9]",
    ):
        await until(partial(first.ask, "/metrics"), partial(_matches, pattern))

    os.kill(first.process.pid, signal.SIGKILL)
    died = time.monotonic()
    shop.apply(shop.service(8080), shop.export(8080))
    await until(lambda: shop.seen(members), lambda seen: 8080 in seen.get("cluster-2", {}), patience=60)
    assert time.monotonic() - died < LEASE + SLACK
    assert await second.leads()

    third = start()
    await until(lambda: third.ask("/readyz"), lambda answer: answer[0] == 200)
    os.kill(second.process.pid, signal.SIGTERM)
    left = time.monotonic()
    await until(third.leads, bool)
    assert time.monotonic() - left < LEASE - RENEWAL, "a replica that stops in good order releases the lease"
    assert await asyncio.to_thread(second.process.wait, 10) is not None


def _matches(pattern: str, answer: tuple[int, str]) -> bool:
    return re.search(pattern, answer[1]) is not None

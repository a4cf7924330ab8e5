"""Leader election on the real apiserver, whose answer to each write is what counts."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from tests.conftest import Plane
from tests.support.waiting import until
from towpath.errors import ApiError
from towpath.karmada import resources
from towpath.karmada.client import Client, Object
from towpath.karmada.leader import Leadership

LEASE, DEADLINE, RETRY = 3, 2.0, 0.2
TIMES = {"lease_duration": LEASE, "renew_deadline": DEADLINE, "retry_period": RETRY}
LONG = {"lease_duration": 15, "renew_deadline": 12.0, "retry_period": RETRY}
"""Times of a leader that must not stop, also where a busy machine holds up its requests for seconds."""
SLACK = 10.0
"""Seconds that a busy machine may add."""

CANDIDATE = f"""
import asyncio, sys
from pathlib import Path
from towpath.karmada.client import Client
from towpath.karmada.leader import Leadership

async def work():
    print("began", flush=True)
    await asyncio.Event().wait()

async def main(kubeconfig, namespace):
    async with await Client.connect(Path(kubeconfig), user_agent="towpath-tests") as client:
        await Leadership(client, namespace, "towpath", identity="other", **{TIMES}).lead(work)

asyncio.run(main(*sys.argv[1:]))
"""
"""A candidate that can be killed."""


@dataclass
class Candidate:
    """A candidate in this process, and when it was at work."""

    client: Client
    namespace: str
    identity: str
    times: dict[str, Any] = field(default_factory=lambda: TIMES)
    reigns: list[tuple[float, float]] = field(default_factory=list)
    at_work: bool = False
    began: float = 0.0

    def __post_init__(self) -> None:
        self.leadership = Leadership(
            self.client,
            self.namespace,
            "towpath",
            identity=self.identity,
            **self.times,
        )
        self.running = asyncio.create_task(self.leadership.lead(self.work))

    async def work(self) -> None:
        self.began, self.at_work = time.monotonic(), True
        try:
            await asyncio.Event().wait()
        finally:
            self.at_work = False
            self.reigns.append((self.began, time.monotonic()))

    async def leads(self) -> None:
        await seen(lambda: self.at_work)

    async def stands_by(self) -> None:
        await seen(lambda: self.leadership.holder not in {"", self.identity})

    async def resign(self) -> None:
        self.running.cancel()
        with suppress(asyncio.CancelledError):
            await self.running


async def seen(right: Callable[[], bool]) -> None:
    async def look() -> bool:
        return right()

    await until(look, bool)


Join = Callable[..., Candidate]


@pytest.fixture
async def join(karmada: Client, namespace: str) -> AsyncIterator[Join]:
    candidates: list[Candidate] = []

    def join(identity: str, client: Client = karmada, times: dict[str, Any] = TIMES) -> Candidate:
        candidates.append(Candidate(client, namespace, identity, times))
        return candidates[-1]

    yield join
    for candidate in candidates:
        await candidate.resign()
    reigns = sorted(reign for candidate in candidates for reign in candidate.reigns)
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(reigns)), "two led at the same time"


@dataclass
class Proxy:
    """Between a candidate and the apiserver: passes requests on, or refuses them."""

    karmada: Client
    broken: bool = False
    refused: int = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if self.broken:
            self.refused += 1
            return web.json_response({"message": "broken"}, status=500)
        body = yaml.safe_load(await request.text()) if request.can_read_body else None
        try:
            return web.Response(body=await self.karmada.request(request.method, request.path, body=body))
        except ApiError as error:
            return web.json_response({"message": str(error)}, status=error.status)


@asynccontextmanager
async def through(proxy: Proxy, folder: Path) -> AsyncIterator[Client]:
    """Give a client that speaks through the proxy."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", proxy.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    cluster = {"server": f"http://127.0.0.1:{runner.addresses[0][1]}"}
    config = {
        "current-context": "x",
        "clusters": [{"name": "x", "cluster": cluster}],
        "users": [{"name": "x", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    }
    (folder / "config").write_text(yaml.safe_dump(config))
    async with await Client.connect(folder / "config", user_agent="towpath-tests") as client:
        yield client
    await runner.cleanup()


@dataclass
class Lease:
    """The Lease as the apiserver has it."""

    client: Client
    namespace: str

    async def get(self) -> Object:
        return await self.client.get(resources.LEASES, "towpath", self.namespace)

    async def spec(self) -> Object:
        spec: Object = (await self.get())["spec"]
        return spec


@pytest.fixture
def lease(karmada: Client, namespace: str) -> Lease:
    return Lease(karmada, namespace)


async def test_one_of_two_leads_and_hands_over_when_it_stops(join: Join, lease: Lease) -> None:
    a = join("a", times=LONG)
    await a.leads()
    b = join("b", times=LONG)
    await b.stands_by()
    began = await lease.spec()
    assert (began["holderIdentity"], began["leaseDurationSeconds"], began["leaseTransitions"]) == (
        "a",
        LONG["lease_duration"],
        0,
    )

    await a.resign()
    await b.leads()
    after = await lease.spec()
    assert (after["holderIdentity"], after["leaseTransitions"]) == ("b", 1)
    assert b.began - a.reigns[0][1] < RETRY + SLACK < LONG["lease_duration"]
    await b.resign()
    assert (await lease.spec())["holderIdentity"] == ""


async def test_a_killed_process_is_succeeded_after_its_lease(
    join: Join, lease: Lease, plane: Plane, namespace: str
) -> None:
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CANDIDATE, plane.karmada, namespace, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert other.stdout is not None
        await asyncio.wait_for(other.stdout.readuntil(b"began"), 30)  # behind what it logs
        a = join("a")
        await a.stands_by()
    finally:
        other.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        await other.wait()
    last = await lease.spec()
    age = datetime.now(UTC) - datetime.fromisoformat(last["renewTime"])
    renewed = time.monotonic() - age.total_seconds()
    await a.leads()
    took = a.began - killed
    print(f"took over {took:.2f} s after SIGKILL, with a lease of {LEASE} s")

    assert last["holderIdentity"] == "other"
    assert a.began > renewed + LEASE
    assert took < LEASE + RETRY + SLACK


async def test_a_broken_apiserver_keeps_its_leader_until_the_deadline(
    join: Join, lease: Lease, karmada: Client, tmp_path: Path
) -> None:
    proxy = Proxy(karmada)
    async with through(proxy, tmp_path) as client:
        a = join("a", client, LONG)
        await a.leads()
        b = join("b")
        await b.stands_by()
        proxy.broken = True
        await seen(lambda: proxy.refused >= 4)
        proxy.broken = False
        before = (await lease.spec())["renewTime"]
        await until(lease.spec, lambda spec: bool(spec["renewTime"] != before))
        assert a.at_work
        assert not a.reigns, "it has not stopped in between"

        proxy.broken = True
        await b.leads()
        assert not a.leadership.is_leader
        assert len(a.reigns) == 1
        proxy.broken = False
        await a.stands_by()
        await b.resign()
        await a.leads()
        await a.resign()


async def test_an_edited_or_deleted_lease_stays_with_its_leader(
    join: Join, lease: Lease, plane: Plane, namespace: str
) -> None:
    a = join("a", times=LONG)
    await a.leads()
    b = join("b")
    await b.stands_by()
    kubectl = [f"--namespace={namespace}", "lease/towpath"]
    plane.kubectl("annotate", *kubectl, "for=you")
    edited = (await lease.spec())["renewTime"]
    await until(lease.spec, lambda spec: bool(spec["renewTime"] > edited))
    assert (await lease.get())["metadata"]["annotations"] == {"for": "you"}

    uid = (await lease.get())["metadata"]["uid"]
    plane.kubectl("delete", *kubectl)

    async def made_anew() -> list[Object]:
        found = await lease.client.list(resources.LEASES, namespace)
        return [newer for newer in found if newer["metadata"]["uid"] != uid]

    (new,) = await until(made_anew, bool)
    assert new["spec"]["holderIdentity"] == "a"
    assert not a.reigns, "it has not stopped in between"

"""Leader election against a stand-in apiserver that misbehaves as real ones do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from aiohttp import web

from towpath.errors import UsageError
from towpath.karmada import leader as module
from towpath.karmada.client import Client, Object
from towpath.karmada.leader import Leadership

pytestmark = pytest.mark.timeout(60)

LEASE, DEADLINE, RETRY = 2, 1.4, 0.1
CALM: dict[str, Any] = {"lease_duration": 30, "renew_deadline": 20.0}
"""Times for tests in which no candidate may lose: a busy machine may stand still for a second."""
SLACK = 2.0
"""Seconds that a busy machine may add."""
PATIENCE = 15.0
COLLECTION = "/apis/coordination.k8s.io/v1/namespaces/ns/leases"
PATH = f"{COLLECTION}/towpath"


def now() -> float:
    return asyncio.get_running_loop().time()


async def until(right: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            if right():
                return
            await asyncio.sleep(0.005)


class Write(NamedTuple):
    """A write that was accepted."""

    at: float
    by: str
    spec: Object


@dataclass
class Apiserver:
    """Keeps Leases as the real one does. The User-Agent identifies a candidate."""

    leases: dict[str, Object] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """Who asked, for each request."""
    broken: dict[str, int] = field(default_factory=dict)
    """The status with which a candidate is refused; 0: its connection is closed."""
    silent: set[str] = field(default_factory=set)
    """Candidates that get no answer."""
    mute: set[str] = field(default_factory=set)
    """Candidates whose writes are accepted and not answered."""
    late: float = 0.0
    """Seconds by which answers to writes come late."""
    version: int = 0

    @property
    def spec(self) -> Object:
        spec: Object = self.leases[PATH]["spec"]
        return spec

    def put(self, spec: Object, **metadata: Any) -> None:
        """Store the Lease, as a client that is no candidate does."""
        self.version += 1
        metadata = {
            "name": "towpath",
            "uid": f"u{self.version}",
            "resourceVersion": str(self.version),
        } | metadata
        self.leases[PATH] = {"metadata": metadata, "spec": spec}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        candidate = request.headers["User-Agent"]
        self.asked.append(candidate)
        if candidate in self.silent:
            await asyncio.Event().wait()
        if candidate in self.broken:
            return self._refuse(request, self.broken[candidate])
        stored = self.leases.get(request.path)
        if request.method == "GET":
            return web.json_response(stored) if stored else self._refuse(request, 404)
        lease = json.loads(await request.read())
        meta = lease["metadata"]
        path = request.path if request.method == "PUT" else f"{request.path}/{meta['name']}"
        stored = self.leases.get(path)
        if (stored or {"metadata": {}})["metadata"].get("resourceVersion") != meta.get("resourceVersion"):
            return self._refuse(request, 409)
        self.version += 1
        lease["metadata"] = {"uid": f"u{self.version}", **meta, "resourceVersion": str(self.version)}
        self.leases[path] = lease
        self.writes.append(Write(now(), candidate, lease["spec"]))
        if candidate in self.mute:
            await asyncio.Event().wait()
        await asyncio.sleep(self.late)
        return web.json_response(lease)

    def _refuse(self, request: web.Request, status: int) -> web.StreamResponse:
        if status == 0 and request.transport:
            request.transport.abort()
        return web.json_response({"kind": "Status", "message": f"no: {status}"}, status=status or 500)


@dataclass
class Candidate:
    """One process that would lead."""

    leadership: Leadership
    running: asyncio.Task[None]
    reigns: list[tuple[float, float]]
    """When its work began and ended."""
    at_work: list[str]
    """Who is at work at the moment, of all candidates."""
    errors: list[str]

    @property
    def leads(self) -> bool:
        return self.leadership.identity in self.at_work

    async def resign(self) -> None:
        self.running.cancel()
        with suppress(asyncio.CancelledError):
            await self.running


async def for_ever() -> None:
    await asyncio.Event().wait()


@dataclass
class Election:
    """A stand-in apiserver and candidates of it."""

    apiserver: Apiserver
    kubeconfig: Path
    candidates: dict[str, Candidate] = field(default_factory=dict)
    clients: list[Client] = field(default_factory=list)
    at_work: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    async def joins(self, name: str, work: module.Work = for_ever, **times: Any) -> Candidate:
        client = await Client.connect(self.kubeconfig, user_agent=name)
        self.clients.append(client)
        times = {"lease_duration": LEASE, "renew_deadline": DEADLINE, "retry_period": RETRY} | times
        leadership = Leadership(client, "ns", "towpath", identity=name, **times)
        reigns: list[tuple[float, float]] = []

        async def watched() -> None:
            self.at_work.append(name)
            if len(self.at_work) > 1:
                self.errors.append(f"at work at the same time: {self.at_work}")
            began = now()
            try:
                await work()
            finally:
                self.at_work.remove(name)
                reigns.append((began, now()))

        running = asyncio.create_task(leadership.lead(watched))
        candidate = Candidate(leadership, running, reigns, self.at_work, self.errors)
        self.candidates[name] = candidate
        return candidate

    async def leads(self, name: str, work: module.Work = for_ever, **times: Any) -> Candidate:
        """Let one join, and wait until it leads."""
        candidate = await self.joins(name, work, **times)
        await until(lambda: candidate.leads)
        return candidate


@pytest.fixture
async def election(tmp_path: Path) -> AsyncIterator[Election]:
    apiserver = Apiserver()
    async with serving(apiserver, tmp_path) as kubeconfig:
        election = Election(apiserver, kubeconfig)
        yield election
        await asyncio.gather(
            *(
                candidate.resign()
                for candidate in election.candidates.values()
                if not candidate.running.done()
            )
        )
        for client in election.clients:
            await client.close()
    assert not election.errors


@asynccontextmanager
async def serving(apiserver: Apiserver, folder: Path) -> AsyncIterator[Path]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", apiserver.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server = f"http://127.0.0.1:{runner.addresses[0][1]}"
    config = folder / "config"
    config.write_text(
        yaml.safe_dump(
            {
                "current-context": "x",
                "clusters": [{"name": "x", "cluster": {"server": server}}],
                "users": [{"name": "x", "user": {}}],
                "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
            }
        )
    )
    try:
        yield config
    finally:
        await runner.cleanup()


async def test_one_leads_and_the_others_stand_by(election: Election) -> None:
    a = await election.leads("a", **CALM)
    b = await election.joins("b")
    await until(lambda: b.leadership.holder == "a")

    assert (a.leadership.is_leader, b.leadership.is_leader) == (True, False)
    spec = election.apiserver.spec
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("a", 30, 0)


async def test_renewing_costs_one_request_and_moves_only_renew_time(election: Election) -> None:
    await election.leads("a", **CALM)
    writes, asked = election.apiserver.writes, election.apiserver.asked
    await until(lambda: len(writes) == 6)

    changes = {
        key
        for spec, next_spec in pairwise(w.spec for w in writes)
        for key in spec
        if spec[key] != next_spec[key]
    }
    assert changes == {"renewTime"}
    assert len(asked) == 7, "one look, six writes"


async def test_a_leader_that_stops_hands_over_at_once(election: Election) -> None:
    a = await election.leads("a", **CALM)
    b = await election.joins("b", **CALM)
    await until(lambda: b.leadership.holder == "a")
    began = now()
    await a.resign()
    await until(lambda: b.leads)

    assert now() - began < RETRY + SLACK
    assert election.apiserver.spec["leaseTransitions"] == 1
    assert not a.leadership.is_leader


async def test_the_lease_is_kept_until_the_work_has_stopped(election: Election) -> None:
    stopping, stopped = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        try:
            await for_ever()
        finally:
            stopping.set()
            await stopped.wait()

    a = await election.leads("a", slow, renew_deadline=1.9)
    b = await election.joins("b")
    a.running.cancel()
    await stopping.wait()
    held = len(election.apiserver.writes)
    await until(lambda: len(election.apiserver.writes) > held + LEASE / RETRY)

    assert a.leadership.is_leader
    assert not b.reigns
    a.running.cancel("a second time, which passes on to the work")
    await until(lambda: b.leads)


@pytest.mark.parametrize("renewed", ["1999-01-01T00:00:00.000000Z", "2099-01-01T00:00:00.000000Z"])
async def test_a_dead_holder_is_succeeded_after_its_lease_by_our_clock(
    election: Election, renewed: str
) -> None:
    dead = {"holderIdentity": "dead", "renewTime": renewed, "leaseDurationSeconds": 1, "leaseTransitions": 7}
    election.apiserver.put(dead, labels={"kept": "yes"})
    began = now()
    await election.leads("a", lease_duration=60, renew_deadline=40.0, retry_period=10.0)

    assert 1 <= now() - began < 1 + SLACK, "it looks again when the lease ends, not a retry period later"
    assert election.apiserver.spec["leaseTransitions"] == 8
    assert election.apiserver.leases[PATH]["metadata"]["labels"] == {"kept": "yes"}


async def test_leadership_ends_at_the_deadline_of_a_hung_apiserver(election: Election) -> None:
    a = await election.leads("a")
    b = await election.joins("b")
    await until(lambda: b.leadership.holder == "a")
    election.apiserver.silent.add("a")
    last = [write for write in election.apiserver.writes if write.by == "a"][-1].at
    await until(lambda: not a.leads)
    lost = now()

    assert not a.leadership.is_leader
    assert lost - last < DEADLINE + SLACK
    await until(lambda: b.leads)
    assert LEASE <= now() - last < LEASE + RETRY + SLACK
    assert election.apiserver.asked[-20:].count("a") < 20, "it keeps asking, with pauses"

    election.apiserver.silent.clear()
    await until(lambda: a.leadership.holder == "b")
    await b.resign()
    await until(lambda: a.leads)
    assert len(a.reigns) == 1, "and now its second"


@pytest.mark.parametrize("status", [500, 429, 403, 0])
async def test_trouble_shorter_than_the_deadline_costs_nothing(election: Election, status: int) -> None:
    a = await election.leads("a", **CALM)
    election.apiserver.broken["a"] = status
    asked = len(election.apiserver.asked)
    await until(lambda: len(election.apiserver.asked) > asked + 4)
    election.apiserver.broken.clear()
    writes = len(election.apiserver.writes)
    await until(lambda: len(election.apiserver.writes) > writes + 2)

    assert a.leadership.is_leader
    assert not a.reigns


async def test_after_an_outage_the_same_leads_again(election: Election) -> None:
    a = await election.leads("a")
    acquired = election.apiserver.spec["acquireTime"]
    election.apiserver.broken["a"] = 503
    await until(lambda: not a.leads)
    election.apiserver.broken.clear()
    await until(lambda: a.leads)

    assert a.leadership.is_leader
    assert election.apiserver.spec["leaseTransitions"] == 0
    assert election.apiserver.spec["acquireTime"] == acquired


async def test_a_write_without_an_answer_may_have_succeeded(election: Election) -> None:
    election.apiserver.mute.add("a")
    a = await election.joins("a")
    await until(lambda: bool(election.apiserver.writes))
    assert not a.leadership.is_leader, "it cannot know"
    election.apiserver.mute.clear()
    await until(lambda: a.leads)

    assert election.apiserver.spec["leaseTransitions"] == 0


async def test_a_renewal_without_an_answer_does_not_hinder_the_release(election: Election) -> None:
    a = await election.leads("a")
    election.apiserver.mute.add("a")
    writes = len(election.apiserver.writes)
    await until(lambda: len(election.apiserver.writes) > writes)
    election.apiserver.mute.clear()
    await a.resign()

    assert election.apiserver.spec["holderIdentity"] == ""


async def test_a_lease_that_is_deleted_changes_nothing(election: Election) -> None:
    a = await election.leads("a", lease_duration=6, renew_deadline=4.5)
    b = await election.joins("b")
    await until(lambda: b.leadership.holder == "a")
    election.apiserver.silent.add("a")
    asked = election.apiserver.asked.count("b")
    del election.apiserver.leases[PATH]
    await until(lambda: election.apiserver.asked.count("b") > asked + 3)
    assert PATH not in election.apiserver.leases, "b waits for the end of what it saw"

    election.apiserver.silent.clear()
    await until(lambda: PATH in election.apiserver.leases)
    assert election.apiserver.spec["holderIdentity"] == "a"
    assert a.leads
    assert not a.reigns


async def test_a_lease_that_was_given_to_another_is_lost(election: Election) -> None:
    stopping, stopped = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        try:
            await for_ever()
        finally:
            stopping.set()
            await stopped.wait()

    a = await election.leads("a", slow, **CALM)
    election.apiserver.put({**election.apiserver.spec, "holderIdentity": "b"})
    await stopping.wait()

    assert not a.leadership.is_leader, "before its deadline, and before its work has ended"
    assert election.apiserver.spec["holderIdentity"] == "b"
    stopped.set()
    await until(lambda: bool(a.reigns))


async def test_an_emptied_lease_is_taken_again_without_a_stop(election: Election) -> None:
    a = await election.leads("a", **CALM)
    election.apiserver.put({**election.apiserver.spec, "holderIdentity": ""})
    await until(lambda: bool(election.apiserver.spec["holderIdentity"] == "a"))

    assert not a.reigns


async def test_leadership_counts_from_when_the_renewal_was_sent(election: Election) -> None:
    """An answer that came late must not prolong it: others saw the renewal before the leader knew of it."""
    a = await election.leads("a", **CALM)
    election.apiserver.late = 0.3
    writes = len(election.apiserver.writes)
    await until(lambda: len(election.apiserver.writes) > writes + 1)

    assert a.leadership.is_leader
    assert a.leadership._until <= election.apiserver.writes[-2].at + CALM["renew_deadline"]


async def test_an_annotation_on_the_lease_is_no_loss(
    election: Election, capsys: pytest.CaptureFixture[str]
) -> None:
    a = await election.leads("a", **CALM)
    election.apiserver.put(election.apiserver.spec, annotations={"a": "b"})
    writes = len(election.apiserver.writes)
    await until(lambda: len(election.apiserver.writes) > writes + 2)

    assert not a.reigns
    assert election.apiserver.leases[PATH]["metadata"]["annotations"] == {"a": "b"}
    assert "not renewed" not in capsys.readouterr().out, "and no trouble"


async def test_of_many_that_come_and_go_one_leads_at_a_time(election: Election) -> None:
    """The fixture sees to it that no two ever are at work."""
    names = [f"c{number}" for number in range(6)]
    for name in names:
        await election.joins(name, lease_duration=1, renew_deadline=0.6)

    async def next_one(resigns: bool) -> None:
        await until(lambda: len(election.at_work) == 1)
        leader = election.at_work[0]
        if resigns:
            await election.candidates[leader].resign()
        else:
            election.apiserver.silent.add(leader)
            await until(lambda: leader not in election.at_work)

    for turn in range(6):
        await next_one(resigns=turn % 2 == 1)
    assert election.apiserver.spec["leaseTransitions"] >= 5


async def test_work_that_ends_ends_the_leadership(election: Election) -> None:
    async def short() -> None:
        await asyncio.sleep(0)

    a = await election.joins("a", short)
    await asyncio.wait_for(a.running, PATIENCE)

    assert election.apiserver.spec["holderIdentity"] == ""


async def test_work_that_fails_is_reported_and_the_lease_is_free(election: Election) -> None:
    async def failing() -> None:
        await asyncio.sleep(0)
        raise RuntimeError("broken")

    a = await election.joins("a", failing)
    with pytest.raises(RuntimeError, match="broken"):
        await asyncio.wait_for(a.running, PATIENCE)

    assert election.apiserver.spec["holderIdentity"] == ""


async def test_stopping_does_not_wait_for_an_apiserver_that_hangs(
    election: Election, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RELEASE", 0.2)
    a = await election.leads("a", **CALM)
    election.apiserver.silent.add("a")
    await asyncio.wait_for(a.resign(), 0.2 + SLACK)

    assert election.apiserver.spec["holderIdentity"] == "a"


async def test_a_candidate_that_never_led_has_nothing_to_release(election: Election) -> None:
    await election.leads("a", **CALM)
    b = await election.joins("b")
    await until(lambda: b.leadership.holder == "a")
    asked = election.apiserver.asked.count("b")
    await b.resign()

    assert election.apiserver.asked.count("b") == asked
    assert election.apiserver.spec["holderIdentity"] == "a"


async def test_a_process_stopped_for_long_knows_it_may_not_write(
    election: Election, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = await election.leads("a")
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(module, "now", lambda: loop.time() + DEADLINE)

    assert a.leads
    assert not a.leadership.is_leader, "before the event loop had time for anything"


async def test_work_that_does_not_stop_is_reported_and_waited_for(
    election: Election, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped = asyncio.Event()

    async def stubborn() -> None:
        try:
            await for_ever()
        finally:
            await stopped.wait()

    a = await election.joins("a", stubborn, lease_duration=1, renew_deadline=0.6)
    await until(lambda: a.leads)
    election.apiserver.silent.add("a")
    output: list[str] = []

    def is_reported() -> bool:
        output.append(capsys.readouterr().out)
        return "does not stop" in "".join(output)

    await until(is_reported)
    asked = len(election.apiserver.asked)
    assert a.leads
    stopped.set()
    await until(lambda: len(election.apiserver.asked) > asked)


async def test_trouble_is_reported_once(election: Election, capsys: pytest.CaptureFixture[str]) -> None:
    election.apiserver.broken["a"] = 403
    a = await election.joins("a")
    await until(lambda: len(election.apiserver.asked) > 4)
    election.apiserver.broken.clear()
    await until(lambda: a.leads)

    output = capsys.readouterr().out
    assert output.count("leader election failed") == 1
    assert "no: 403" in output


@pytest.mark.parametrize(("lease", "deadline", "retry"), [(10, 10.0, 2.0), (15, 3.0, 2.0), (15, 10.0, 0.0)])
async def test_times_that_leave_no_room_are_refused(
    election: Election, lease: int, deadline: float, retry: float
) -> None:
    with pytest.raises(UsageError, match=r"lease duration: .* is too short"):
        await election.joins("a", lease_duration=lease, renew_deadline=deadline, retry_period=retry)


async def test_identities_differ_from_process_to_process(election: Election) -> None:
    client = await Client.connect(election.kubeconfig, user_agent="x")
    election.clients.append(client)

    assert Leadership(client, "ns", "a").identity != Leadership(client, "ns", "a").identity

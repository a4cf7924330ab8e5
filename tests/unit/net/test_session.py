"""The order in which Envoy learns of a change, and how its answers are used."""

from __future__ import annotations

import asyncio

import pytest
from envoy.service.discovery.v3 import discovery_pb2

from towpath.datapath.envoy import Json, Kind
from towpath.net import session as module
from towpath.net.session import Session
from towpath.net.snapshot import Snapshot, snapshot


def state(*names: str, timeout: str = "1s") -> dict[Kind, dict[str, Json]]:
    """Return resources of so many services."""
    return {
        Kind.CLUSTER: {name: {"name": name, "connect_timeout": timeout} for name in names},
        Kind.ENDPOINTS: {name: {"cluster_name": name} for name in names},
        Kind.LISTENER: {name: {"name": name} for name in names},
        Kind.ROUTES: {name: {"name": name} for name in names},
    }


def of(bodies: dict[Kind, dict[str, Json]]) -> Snapshot:
    return snapshot(bodies, Snapshot(), lambda kind: pytest.fail(f"{kind} cannot be encoded"))


class Envoy:
    """A client of the protocol: accepts all, subscribes to the resources that clusters and listeners name."""

    def __init__(self) -> None:
        self.rejected: list[Kind] = []
        self.session = Session(self.take, self.rejected.append)
        self.seen: list[tuple[Kind, tuple[str, ...]]] = []
        self.names: dict[Kind, tuple[str, ...]] = dict.fromkeys(Kind, ())
        self.refuse: set[Kind] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    async def connect(self) -> None:
        for kind in (Kind.CLUSTER, Kind.LISTENER):
            await self.ask(kind, "")

    async def ask(self, kind: Kind, nonce: str, error: str = "") -> None:
        request = discovery_pb2.DiscoveryRequest(
            type_url=kind.url, response_nonce=nonce, resource_names=self.names[kind]
        )
        if error:
            request.error_detail.message = error
        await self.session.take(request)

    async def take(self, response: discovery_pb2.DiscoveryResponse) -> None:
        kind = next(kind for kind in Kind if kind.url == response.type_url)
        names = tuple(sorted(_name(kind, resource.value) for resource in response.resources))
        self.seen.append((kind, names))
        task = asyncio.create_task(self.answer(kind, response.nonce, names))
        self.tasks.add(task)

    async def answer(self, kind: Kind, nonce: str, names: tuple[str, ...]) -> None:
        if kind in self.refuse:
            await self.ask(kind, nonce, f"{names[-1]} is bad")
            return
        await self.ask(kind, nonce)
        follower = {Kind.CLUSTER: Kind.ENDPOINTS, Kind.LISTENER: Kind.ROUTES}.get(kind)
        if follower is not None and self.names[follower] != names:
            self.names[follower] = names
            await self.ask(follower, self.session._states[follower].nonce)


def _name(kind: Kind, value: bytes) -> str:
    from towpath.net.messages import _MESSAGES

    message = _MESSAGES[kind].FromString(value)
    return str(message.cluster_name if kind is Kind.ENDPOINTS else message.name)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.2)


async def test_new_before_what_refers_to_it_and_old_after() -> None:
    envoy = Envoy()
    await envoy.connect()
    await envoy.session.push(of(state("a")))
    envoy.seen.clear()
    await envoy.session.push(of(state("b")))
    assert envoy.seen == [
        (Kind.CLUSTER, ("a", "b")),
        (Kind.ENDPOINTS, ("b",)),
        (Kind.LISTENER, ("b",)),
        (Kind.ROUTES, ("b",)),
        (Kind.CLUSTER, ("b",)),
    ]


async def test_an_unchanged_resource_is_not_sent() -> None:
    envoy = Envoy()
    await envoy.connect()
    await envoy.session.push(of(state("a", "b")))
    envoy.seen.clear()
    await envoy.session.push(of(state("a", "b")))
    assert envoy.seen == []
    changed = state("a", "b")
    changed[Kind.ENDPOINTS]["b"] = {"cluster_name": "b", "endpoints": [{"priority": 0}]}
    await envoy.session.push(of(changed))
    assert envoy.seen == [(Kind.ENDPOINTS, ("b",))]


async def test_a_cluster_that_changes_gets_its_endpoints_again() -> None:
    envoy = Envoy()
    await envoy.connect()
    await envoy.session.push(of(state("a")))
    envoy.seen.clear()
    await envoy.session.push(of(state("a", timeout="2s")))
    assert envoy.seen == [(Kind.CLUSTER, ("a",)), (Kind.ENDPOINTS, ("a",))]


async def test_a_rejection_is_counted_and_stops_nothing() -> None:
    envoy = Envoy()
    await envoy.connect()
    envoy.refuse = {Kind.LISTENER}
    await envoy.session.push(of(state("a")))
    assert envoy.rejected == [Kind.LISTENER]
    assert envoy.seen[-1] == (Kind.LISTENER, ("a",))
    envoy.refuse = set()
    await envoy.session.push(of(state("a", "b")))
    assert (Kind.ROUTES, ("a", "b")) in envoy.seen


async def test_nothing_is_sent_before_there_is_something() -> None:
    envoy = Envoy()
    await envoy.connect()
    assert envoy.seen == []
    await envoy.session.push(of(state("a")))
    assert envoy.seen[0] == (Kind.CLUSTER, ("a",))

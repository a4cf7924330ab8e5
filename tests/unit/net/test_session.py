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


def with_bad(bodies: dict[Kind, dict[str, Json]], kind: Kind) -> dict[Kind, dict[str, Json]]:
    """Return resources of which that of the service bad is another one."""
    more: dict[Kind, Json] = {
        Kind.CLUSTER: {"connect_timeout": "9s"},
        Kind.ENDPOINTS: {"endpoints": [{"priority": 1}]},
        Kind.LISTENER: {"stat_prefix": "bad"},
        Kind.ROUTES: {"internal_only_headers": ["bad"]},
    }
    return {**bodies, kind: {**bodies[kind], "bad": {**bodies[kind]["bad"], **more[kind]}}}


def of(bodies: dict[Kind, dict[str, Json]]) -> Snapshot:
    return snapshot(bodies, Snapshot(), lambda kind: pytest.fail(f"{kind} cannot be encoded"))


class Envoy:
    """A client of the protocol: accepts all, subscribes to the resources that clusters and listeners name."""

    def __init__(self) -> None:
        self.rejected: list[Kind] = []
        self.session = Session(self.take, self.rejected.append)
        self.seen: list[tuple[Kind, tuple[str, ...]]] = []
        self.names: dict[Kind, tuple[str, ...]] = dict.fromkeys(Kind, ())
        self.refuses: set[bytes] = set()
        self.is_naming = True
        self.has: dict[Kind, dict[str, bytes]] = {kind: {} for kind in Kind}
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
        sent = {_name(kind, resource.value): resource.value for resource in response.resources}
        self.seen.append((kind, tuple(sorted(sent))))
        task = asyncio.create_task(self.answer(kind, response.nonce, sent))
        self.tasks.add(task)

    async def answer(self, kind: Kind, nonce: str, sent: dict[str, bytes]) -> None:
        if bad := [name for name, value in sent.items() if value in self.refuses]:
            await self.ask(kind, nonce, f"{bad[0]} is bad" if self.is_naming else "something is bad")
            return
        is_all = kind in (Kind.CLUSTER, Kind.LISTENER)
        self.has[kind] = sent if is_all else {**self.has[kind], **sent}
        names = tuple(sorted(sent))
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


@pytest.mark.parametrize("is_naming", [True, False])
@pytest.mark.parametrize("kind", Kind)
async def test_a_bad_resource_keeps_no_other_back(kind: Kind, is_naming: bool) -> None:
    envoy = Envoy()
    await envoy.connect()
    await envoy.session.push(of(state("a")))
    target = of(with_bad(state("a", "b", "bad", "c"), kind))
    envoy.refuses, envoy.is_naming = {target.of(kind)["bad"].value}, is_naming
    await envoy.session.push(target)
    for other in Kind:
        assert envoy.has[other].keys() >= {"a", "b", "c"}
    assert list(envoy.session.refused()) == [(kind, "bad")]
    assert set(envoy.rejected) == {kind}
    envoy.seen.clear()
    await envoy.session.push(of(with_bad(state("a", "b", "bad", "c"), kind)))
    assert envoy.seen == []


@pytest.mark.parametrize("kind", Kind)
async def test_the_last_good_state_of_a_bad_resource_stays(kind: Kind) -> None:
    envoy = Envoy()
    await envoy.connect()
    good = of(state("a", "bad"))
    await envoy.session.push(good)
    target = of(with_bad(state("a", "b", "bad"), kind))
    envoy.refuses = {target.of(kind)["bad"].value}
    await envoy.session.push(target)
    assert envoy.has[kind].keys() == {"a", "b", "bad"}
    assert envoy.has[kind]["bad"] == good.of(kind)["bad"].value
    await envoy.session.push(of(state("a", "b", "bad")))
    assert list(envoy.session.refused()) == []


async def test_what_is_removed_goes_although_something_is_bad() -> None:
    envoy = Envoy()
    await envoy.connect()
    await envoy.session.push(of(state("a", "b")))
    target = of(with_bad(state("a", "bad"), Kind.LISTENER))
    envoy.refuses = {target.of(Kind.LISTENER)["bad"].value}
    await envoy.session.push(target)
    assert envoy.has[Kind.LISTENER].keys() == {"a"}


async def test_clusters_that_came_in_a_second_try_get_endpoints() -> None:
    """A cluster that has changed starts without endpoints, also where its first response was rejected."""
    envoy = Envoy()
    await envoy.connect()
    await envoy.session.push(of(state("a")))
    target = of(with_bad(state("a", "bad", timeout="2s"), Kind.CLUSTER))
    envoy.refuses = {target.of(Kind.CLUSTER)["bad"].value}
    await envoy.session.push(target)
    last = max(index for index, (kind, _) in enumerate(envoy.seen) if kind is Kind.CLUSTER)
    assert (Kind.ENDPOINTS, ("a",)) in envoy.seen[last:]


async def test_nothing_is_sent_before_there_is_something() -> None:
    envoy = Envoy()
    await envoy.connect()
    assert envoy.seen == []
    await envoy.session.push(of(state("a")))
    assert envoy.seen[0] == (Kind.CLUSTER, ("a",))

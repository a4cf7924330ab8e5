"""``towpath migrate`` on a real Karmada whose members hold imports as ErieCanal's control plane writes them.

A watch in each member sees every state that an import goes through, and the exports change all the while.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml

from tests.conftest import MEMBERS, Plane, Plugin
from tests.e2e.shop import Shop, gateways
from tests.support.cli import towpath
from tests.support.waiting import until
from towpath.errors import NotFound
from towpath.karmada import resources
from towpath.karmada.client import Client, Object
from towpath.karmada.discovery import Discovery
from towpath.karmada.wire import lines
from towpath.migration.plan import ImportPlan, State, plan
from towpath.migration.read import Members, read
from towpath.model.keys import Dialect, ServiceKey

LASTING, CHANGING = ("cluster-1", "cluster-3"), "cluster-2"
"""The clusters that export all the time, and the one whose endpoints come and go."""
LONG = 60.0


@pytest.fixture(autouse=True)
def reachable(plane: Plane) -> Iterator[None]:
    with gateways(plane, "10.9.0"):
        yield


@dataclass
class Watch:
    """Every state of the import in one member: the clusters in it, None while there is no import."""

    cluster: str
    seen: list[frozenset[str] | None] = field(default_factory=list)

    @property
    def valid(self) -> frozenset[str]:
        """The clusters whose endpoints must be there at every moment."""
        return frozenset(LASTING) - {self.cluster}

    @property
    def gaps(self) -> list[frozenset[str] | None]:
        return [state for state in self.seen if state is None or not self.valid <= state]


def clusters_in(obj: Object) -> frozenset[str]:
    ports = obj["spec"]["ports"]
    return frozenset(e["clusterKey"].rpartition("/")[2] for port in ports for e in port["endpoints"])


@dataclass(frozen=True)
class Fleet:
    """The service ``web`` of a namespace: in Karmada, and in members as ErieCanal left it."""

    shop: Shop
    members: dict[str, Client]

    def written(self, member: str, *more: str) -> Object:
        """Return the import that ErieCanal writes: remote endpoints only, no labels, no owner."""
        endpoints = [
            {
                "clusterKey": f"default/default/default/{name}",
                "target": {
                    "host": f"10.9.0.{MEMBERS.index(name) + 1}",
                    "ip": f"10.9.0.{MEMBERS.index(name) + 1}",
                    "port": 80,
                    "path": f"/{self.shop.namespace}/web-80",
                },
            }
            for name in (*LASTING, *more)
            if name != member
        ]
        port = {"name": "http", "port": 80, "protocol": "TCP", "endpoints": endpoints}
        return {
            "apiVersion": self.shop.dialect.api_version,
            "kind": "ServiceImport",
            "metadata": {"name": "web", "namespace": self.shop.namespace},
            "spec": {"type": "ClusterSetIP", "ports": [port]},
        }

    async def write(self) -> None:
        """Write what such a fleet has: exports in members, and an import in each of them.

        Cluster-1 holds an endpoint more, of a cluster that does not export any more.
        """
        for name, client in self.members.items():
            await until(lambda client=client: self._has_namespace(client), bool)  # type: ignore[misc]
            written = [self.written(name, *([CHANGING] if name == "cluster-1" else []))]
            if name in LASTING:
                written += [yaml.safe_load(text) for text in (self.shop.service(), self.shop.export())]
            for obj in written:
                kind = await Discovery(client).of(obj)
                await client.request("POST", kind.path(self.shop.namespace), body=obj)

    async def _has_namespace(self, client: Client) -> bool:
        try:
            await client.get(resources.NAMESPACES, self.shop.namespace)
        except NotFound:
            return False
        return True

    def export_by_karmada(self, *clusters: str) -> None:
        """Apply Service and export to Karmada, with a policy that takes over what is in these members."""
        shop = replace(self.shop, clusters=clusters)
        policy = shop.policy().replace("spec:", "spec:\n  conflictResolution: Overwrite", 1)
        shop.apply(shop.service(), shop.export(), policy)

    def manager(self, replicas: int) -> None:
        """Put the manager of the other control plane into cluster-1, with so many replicas."""
        labels = "{app: erie-canal-manager}"
        manifest = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: erie-canal-manager, namespace: {self.shop.namespace}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {labels}}}
  template:
    metadata: {{labels: {labels}}}
    spec: {{containers: [{{name: manager, image: erie-canal-manager}}]}}
"""
        self.shop.plane.client("cluster-1").apply(manifest)

    async def held(self) -> dict[str, Object]:
        kind = resources.service_imports(self.shop.dialect)
        return {
            name: await client.get(kind, "web", self.shop.namespace) for name, client in self.members.items()
        }

    async def managed(self) -> set[str]:
        """Return the members whose import Karmada owns."""
        return {
            name
            for name, obj in (await self.held()).items()
            if (obj["metadata"].get("labels") or {}).get("karmada.io/managed") == "true"
        }

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[list[Watch]]:
        """See every state of every member's import."""
        watches = [Watch(name) for name in self.members]
        began = [asyncio.Event() for _ in watches]
        tasks = [asyncio.create_task(self._watch(*each)) for each in zip(watches, began, strict=True)]
        await asyncio.gather(*(event.wait() for event in began))
        try:
            yield watches
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, watch: Watch, began: asyncio.Event) -> None:
        client = self.members[watch.cluster]
        path = resources.service_imports(self.shop.dialect).path(self.shop.namespace)
        version = (await client.json("GET", path))["metadata"]["resourceVersion"]
        query = [("watch", "true"), ("resourceVersion", version), ("timeoutSeconds", "600")]
        async with client.stream(path, query=query, silence=600) as chunks:
            began.set()
            async for line in lines(chunks):
                event = json.loads(line)
                is_there = event["type"] in {"ADDED", "MODIFIED"}
                watch.seen.append(clusters_in(event["object"]) if is_there else None)

    @asynccontextmanager
    async def changing(self, karmada: Client) -> AsyncIterator[list[int]]:
        """Let the endpoints of one cluster come and go, twice a second."""
        kind, counted = resources.service_exports(self.shop.dialect), [0]

        async def change() -> None:
            path = kind.path(self.shop.namespace, "web")
            while True:
                drained = CHANGING if counted[0] % 2 == 0 else None
                body = {"metadata": {"annotations": {"towpath.io/drain": drained}}}
                await karmada.request("PATCH", path, body=body, content_type="application/merge-patch+json")
                counted[0] += 1
                await asyncio.sleep(0.5)

        task = asyncio.create_task(change())
        try:
            yield counted
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def kubeconfigs(plane: Plane) -> str:
    return os.pathsep.join(str(plane.env.kubeconfig(name)) for name in plane.env.members)


async def run(plane: Plane, fleet: Fleet, command: str, *args: str) -> CompletedProcess[str]:
    """Run a command about the service while watches and changes go on."""
    files = ("--kubeconfig", str(plane.karmada), "--members", kubeconfigs(plane))
    service = f"{fleet.shop.namespace}/web"
    return await asyncio.to_thread(towpath, "migrate", command, *files, "--service", service, *args)


async def succeeds(plane: Plane, fleet: Fleet, command: str, *args: str) -> str:
    """Run a command until it succeeds: what comes and goes meanwhile can be on its way when it looks."""
    done = await until(
        lambda: run(plane, fleet, command, *args), lambda done: done.returncode == 0, patience=120
    )
    return str(done.stdout)


async def planned(plane: Plane, fleet: Fleet, karmada: Client) -> dict[str, ImportPlan]:
    """Return the plan for each member's import."""
    key = ServiceKey(fleet.shop.dialect, fleet.shop.namespace, "web")
    async with Members(karmada, kubeconfigs(plane), "towpath-tests") as members:
        plans = plan(await read(karmada, members))
    return {made.member.cluster: held for made in plans for held in made.imports if held.service == key}


async def until_ready(plane: Plane, fleet: Fleet, karmada: Client) -> None:
    async def states() -> set[State]:
        return {held.state for held in (await planned(plane, fleet, karmada)).values()}

    await until(states, lambda seen: seen == {State.READY}, patience=LONG)


@pytest.fixture
async def fleet(
    plane: Plane, lasting_plugin: Plugin, namespace: str, members: dict[str, Client], request: Any
) -> Fleet:
    towpath("install", "--kubeconfig", plane.karmada)
    dialect = getattr(request, "param", Dialect.FLOMESH)
    fleet = Fleet(Shop(plane, namespace, dialect=dialect), members)
    await fleet.write()
    return fleet


async def test_there_and_back_no_valid_endpoint_is_ever_missing(
    plane: Plane, fleet: Fleet, karmada: Client
) -> None:
    await imports_wait_for_all_exporters(plane, fleet, karmada)
    fleet.export_by_karmada(*MEMBERS)
    async with fleet.changing(karmada) as changes, fleet.watched() as watches:
        await until_ready(plane, fleet, karmada)
        await succeeds(plane, fleet, "apply", "--stopped", "--cluster", "cluster-2")
        assert await fleet.managed() == {"cluster-2"}
        await succeeds(plane, fleet, "apply", "--stopped")
        assert await fleet.managed() == {*MEMBERS}
        before = changes[0]
        await succeeds(plane, fleet, "revert", "--cluster", "cluster-3")
        assert await fleet.managed() == {"cluster-1", "cluster-2"}
        output = await succeeds(plane, fleet, "revert")
        assert await fleet.managed() == set()
        assert changes[0] > before > 0
    assert {watch.cluster: watch.gaps for watch in watches} == {name: [] for name in MEMBERS}
    assert all(len(watch.seen) > 2 for watch in watches)
    assert any(CHANGING in (state or ()) for watch in watches for state in watch.seen)
    assert "Start the other control plane again" in output
    await nothing_is_left_but_the_release(fleet, karmada)
    await the_other_control_plane_can_write(fleet)


@pytest.mark.parametrize("fleet", [Dialect.MULTICLUSTER], indirect=True)
async def test_once_more_there_after_a_way_back(plane: Plane, fleet: Fleet, karmada: Client) -> None:
    """With the API group of FSM 1.3, and a control plane that is seen to be stopped."""
    other = ("--control-plane", str(plane.env.kubeconfig("cluster-1")))
    fleet.export_by_karmada(*MEMBERS)
    fleet.manager(1)
    refused = await run(plane, fleet, "apply", *other)
    assert (refused.returncode, "Step 4 is not done" in refused.stderr) == (1, True)
    fleet.manager(0)
    async with fleet.watched() as watches:
        await until_ready(plane, fleet, karmada)
        await succeeds(plane, fleet, "apply", *other)
        assert await fleet.managed() == {*MEMBERS}
        await succeeds(plane, fleet, "revert")
        assert await fleet.managed() == set()
        answer = json.loads(await succeeds(plane, fleet, "plan", *other, "-o", "json"))
        assert [step["state"] for step in answer["steps"][2:5]] == ["Done", "Done", "Open"]
        states = [held["state"] for member in answer["members"] for held in member["imports"]]
        assert states == ["Released"] * 3
        await succeeds(plane, fleet, "apply", *other)
        assert await fleet.managed() == {*MEMBERS}
    assert [watch.gaps for watch in watches] == [[]] * 3
    async with Members(karmada, None, "towpath-tests") as proxied:
        through = await proxied.states(MEMBERS)
    async with Members(karmada, kubeconfigs(plane), "towpath-tests") as direct:
        at_once = await direct.states(MEMBERS)
    assert {state.source for state in through} == {"cluster proxy"}
    assert [(s.imports, s.exports, s.problem) for s in through] == [
        (s.imports, s.exports, "") for s in at_once
    ]


async def imports_wait_for_all_exporters(plane: Plane, fleet: Fleet, karmada: Client) -> None:
    """Export by Karmada from one cluster only: the imports stay as they are, also when asked to go over."""
    before = await fleet.held()
    fleet.export_by_karmada("cluster-1")

    async def waiting() -> dict[str, list[str]]:
        plans = await planned(plane, fleet, karmada)
        return {name: [missing.reason.value for missing in held.missing] for name, held in plans.items()}

    not_yet = ["NotPropagated"]
    expected = {"cluster-1": not_yet, "cluster-2": not_yet, "cluster-3": []}
    await until(waiting, lambda seen: seen == expected, patience=LONG)
    plans = await planned(plane, fleet, karmada)
    assert [e.cluster_key.rpartition("/")[2] for e in plans["cluster-1"].stale] == [CHANGING]
    refused = await run(plane, fleet, "apply")
    assert (refused.returncode, "Step 4 is not done" in refused.stderr) == (1, True)
    refused = await run(plane, fleet, "apply", "--stopped", "--cluster", "cluster-2")
    assert (refused.returncode, "Blocked" in refused.stderr) == (1, True)
    assert await fleet.held() == before


async def nothing_is_left_but_the_release(fleet: Fleet, karmada: Client) -> None:
    shop = fleet.shop
    export = await karmada.get(resources.service_exports(shop.dialect), "web", shop.namespace)
    own = {name: text for name, text in export["metadata"]["annotations"].items() if "towpath.io" in name}
    own.pop("towpath.io/drain", None)
    own.pop("towpath.io/touched", None)
    assert own == {"towpath.io/released": ",".join(MEMBERS)}
    with pytest.raises(NotFound):
        await karmada.get(resources.service_imports(shop.dialect), "web", shop.namespace)


async def the_other_control_plane_can_write(fleet: Fleet) -> None:
    """It reads an import, changes it and writes it back, and nobody undoes that."""
    kind, client = resources.service_imports(fleet.shop.dialect), fleet.members["cluster-1"]
    for clusters in ([], [CHANGING]):
        present = (await fleet.held())["cluster-1"]
        changed = {**present, "spec": fleet.written("cluster-1", *clusters)["spec"]}
        await client.request("PUT", kind.path(fleet.shop.namespace, "web"), body=changed)
        fleet.export_by_karmada(*MEMBERS)
    assert clusters_in((await fleet.held())["cluster-1"]) == {"cluster-3", CHANGING}

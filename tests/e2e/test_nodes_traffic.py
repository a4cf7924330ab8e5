"""The data path on real nodes: which pods answer a client, by policy and by fault, counted over its calls.

Karmada distributes everything: the data path, the workload, the policies. The Service ``web`` runs in
cluster-1 and cluster-3. One client is in cluster-1, another in cluster-2, which has the Service by its import
alone.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.conftest import Plane
from tests.e2e.shop import annotate
from tests.e2e.test_nodes import one_pod, pods, workload
from tests.support import contour
from tests.support.cli import TOWPATH, towpath
from tests.support.signals import heeding_sigint
from tests.support.waiting import until
from towpath.datapath.world import SLICE_MANAGER
from towpath.karmada import resources
from towpath.karmada.client import Client
from towpath.local import data_path, processes
from towpath.local.members import is_ready
from towpath.local.nodes import calls
from towpath.local.nodes.configuration import cgroup
from towpath.local.nodes.machine import enter
from towpath.local.nodes.programs import machine_name
from towpath.local.spec import PLUGIN
from towpath.model.keys import Dialect
from towpath.rules.reasons import CallReason
from towpath.setup.data_path import NAMESPACE as SYSTEM

# The first test waits for Towpath's image, which is built once for the same files.
pytestmark = [pytest.mark.nodes, pytest.mark.timeout(900)]

EXPORTS, TRAFFIC = resources.service_exports(Dialect.FLOMESH), resources.traffic_policies(Dialect.FLOMESH)
EXPORTERS = ("cluster-1", "cluster-3")
ONE, THREE = (f"default/default/default/{name}" for name in EXPORTERS)
CALLS = 12
RATE = 200
"""Calls in a second, where they go on."""
SECONDS_WITHOUT_AGENT = 30
PATIENCE = 60.0
LONG_PATIENCE = 180.0
"""Seconds until a pod that was killed several times, or one on each node, is ready."""
INTERRUPTED = 130
BOTH, FIRST, THIRD, NOBODY = (frozenset(names) for names in (EXPORTERS, EXPORTERS[:1], EXPORTERS[1:], ()))
Clusters = frozenset[str]


def policy(kind: str, *targets: str | tuple[str, int], tiers: str = "") -> dict[str, Any]:
    """Return what a GlobalTrafficPolicy has besides its name."""
    listed = [
        {"clusterKey": target} if isinstance(target, str) else {"clusterKey": target[0], "weight": target[1]}
        for target in targets
    ]
    annotations = {"towpath.io/failover-tiers": tiers} if tiers else {}
    return {"annotations": annotations, "spec": {"lbType": kind, "targets": listed}}


POLICIES: Mapping[str, dict[str, Any] | None] = {
    "none": None,
    "Locality": policy("Locality"),
    "ActiveActive": policy("ActiveActive"),
    "ActiveActive, cluster-3": policy("ActiveActive", THREE),
    "ActiveActive 3:1": policy("ActiveActive", (ONE, 3), (THREE, 1)),
    "FailOver": policy("FailOver", ONE, THREE),
    "FailOver, tiers": policy("FailOver", ONE, THREE, tiers=f"{THREE}=0,{ONE}=1"),
}
HEALTHY: Mapping[str, tuple[Clusters, Clusters]] = {
    # which clusters answer the client in cluster-2, and the one in cluster-1
    "none": (NOBODY, FIRST),
    "Locality": (NOBODY, FIRST),
    "ActiveActive": (BOTH, BOTH),
    "ActiveActive, cluster-3": (THIRD, BOTH),
    "ActiveActive 3:1": (BOTH, BOTH),
    "FailOver": (BOTH, FIRST),
    "FailOver, tiers": (THIRD, FIRST),
}
WITHOUT_CLUSTER_3: Mapping[str, tuple[Clusters, Clusters]] = {
    **dict.fromkeys(POLICIES, (FIRST, FIRST)),
    "none": (NOBODY, FIRST),
    "Locality": (NOBODY, FIRST),
    "ActiveActive, cluster-3": (NOBODY, FIRST),
}


@dataclass
class Calling:
    """Calls at a steady rate: which pods have answered, and what went wrong."""

    seen: Counter[str] = field(default_factory=Counter)

    @property
    def failed(self) -> dict[str, int]:
        return {line: count for line, count in self.seen.items() if not _pod(line)}

    async def until(self, answers: int, pods: Clusters = NOBODY, patience: float = PATIENCE) -> None:
        """Wait for so many more answers, of some pods if they are named."""

        def count() -> int:
            return sum(n for line, n in self.seen.items() if not pods or _pod(line) in pods)

        async def look() -> int:
            return count()

        wanted = count() + answers
        await until(look, lambda seen: seen >= wanted, patience=patience)


def _pod(line: str) -> str:
    """Return the pod that has answered with status 200, nothing if none has."""
    name, _, rest = line.partition(" ")
    return name if name.startswith("web-") and rest.startswith("200") else ""


@dataclass(frozen=True)
class Shop:
    """The Service, its clients and its policy."""

    nodes: Plane
    namespace: str
    clients: dict[str, str] = field(default_factory=dict)
    """The client's pod in each member: it stays the same."""
    clusters: dict[str, str] = field(default_factory=dict)
    """Where each pod of the Service runs that has answered, or did."""

    def apply(self, *objects: Mapping[str, Any]) -> None:
        self.nodes.client().apply_objects(*objects)

    async def reasons(self) -> dict[str, str]:
        """Return the reasons of the conditions of the export by type."""
        status = self.nodes.client().get(EXPORTS, "web", self.namespace).get("status", {})
        return {condition["type"]: condition["reason"] for condition in status.get("conditions", ())}

    def set_policy(self, wanted: Mapping[str, Any] | None) -> None:
        if wanted is None:
            self.nodes.client().remove(TRAFFIC, "web", namespace=self.namespace)
            return
        metadata = {"name": "web", "namespace": self.namespace, "annotations": wanted["annotations"]}
        self.apply(
            {
                "apiVersion": "flomesh.io/v1alpha1",
                "kind": "GlobalTrafficPolicy",
                "metadata": metadata,
                "spec": wanted["spec"],
            }
        )

    def pods(self, member: str) -> Clusters:
        return frozenset(pods(self.nodes, member, self.namespace))

    async def running(self, member: str, count: int = 1, but: Clusters = NOBODY) -> Clusters:
        """Wait until a member runs so many pods of the Service, and no other ones."""

        async def look() -> Clusters:
            return self.pods(member)

        return await until(look, lambda seen: len(seen) == count and not seen & but, patience=PATIENCE)

    async def client(self, member: str) -> str:
        if member not in self.clients:
            self.clients[member] = await one_pod(self.nodes, member, self.namespace, "client")
        return self.clients[member]

    def cluster(self, line: str) -> str:
        """Return the cluster that has answered, ``failed`` if none has."""
        pod = _pod(line)
        if pod and pod not in self.clusters:
            self.clusters.update({pod: name for name in EXPORTERS for pod in self.pods(name)})
        return self.clusters[pod] if pod else "failed"

    async def answering(self, member: str) -> Counter[str]:
        """Make some calls from a member; return how many each cluster has answered, ``failed`` for none."""
        done = await self._curl(member, f"for call in $(seq {CALLS}); do {self._command()}; done")
        return Counter(map(self.cluster, done.output.splitlines()))

    async def answer(self, member: str, wanted: Clusters) -> None:
        """Wait until calls from a member are answered by these clusters; by none: until all fail."""

        async def look() -> Counter[str]:
            return await self.answering(member)

        await until(look, lambda seen: seen.keys() == (wanted or {"failed"}), patience=PATIENCE)

    @asynccontextmanager
    async def calling(self, member: str) -> AsyncIterator[Calling]:
        """Call from a member during the block. Every 50 calls share a connection."""
        found = Calling()
        command = self._command(f"--max-time 10 --rate {RATE}/s", "?[1-50]")
        script = f"touch /tmp/calling; while [ -e /tmp/calling ]; do {command}; done"
        process = await asyncio.create_subprocess_exec(
            self.nodes.env.binaries / "kubectl",
            f"--kubeconfig={self.nodes.env.kubeconfig(member)}",
            *("exec", "-n", self.namespace, await self.client(member), "--", "sh", "-c", script),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        reading = asyncio.create_task(_read(process.stdout, found))
        try:
            yield found
        finally:
            await self._curl(member, "rm /tmp/calling")
            await reading
            await process.wait()

    def _command(self, options: str = "--max-time 2", query: str = "") -> str:
        written = r"-w '%{http_code} %{errormsg}\n'"
        return f"curl -s {options} {written} 'http://web.{self.namespace}/{query}' 2>/dev/null"

    async def _curl(self, member: str, script: str) -> calls.Call:
        pod = await self.client(member)
        return await calls.execute(self.nodes.env, member, self.namespace, pod, "sh", "-c", script)


async def _read(lines: asyncio.StreamReader, found: Calling) -> None:
    async for line in lines:
        found.seen[line.decode().strip()] += 1


def set_label(nodes: Plane, member: str, value: str) -> None:
    nodes.client().label(resources.CLUSTERS, member, {"towpath.io/data-path": value})


def proxies(nodes: Plane, member: str) -> list[str]:
    """Return the names of the data path's pods that are Ready."""
    return [pod["metadata"]["name"] for pod in proxy_pods(nodes, member) if is_ready(pod)]


def proxy_pods(nodes: Plane, member: str) -> list[dict[str, Any]]:
    return nodes.client(member).list(resources.PODS, SYSTEM)


async def installed(nodes: Plane) -> None:
    """Install the data path, and wait until it runs in every member."""
    async with await Client.connect(nodes.karmada, user_agent="towpath-tests") as karmada:
        await data_path.start(nodes.env, karmada, print)


@pytest.fixture(scope="module")
def shop(nodes: Plane) -> Iterator[Shop]:
    found = Shop(nodes, f"t-{uuid.uuid4().hex[:8]}")
    for name, member in nodes.env.members.items():
        annotate(nodes, name, gateway=f"{member.node}:80")
    asyncio.run(processes.ensure_running(nodes.env, PLUGIN))
    asyncio.run(installed(nodes))
    nodes.create_namespace(found.namespace)
    objects = [*yaml.safe_load_all(workload(found.namespace, *EXPORTERS))]
    found.apply(*_without_node_port(objects), *_clients(objects, found.namespace))
    export = {"rules": [{"portNumber": 80, "path": f"/{found.namespace}", "pathType": "Prefix"}]}
    metadata = {"name": "web", "namespace": found.namespace}
    found.apply(
        {"apiVersion": "flomesh.io/v1alpha1", "kind": "ServiceExport", "metadata": metadata, "spec": export}
    )
    yield found
    nodes.delete_namespace(found.namespace)
    processes.stop(nodes.env, PLUGIN)


def _without_node_port(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the workload without its client, and with a Service of type ClusterIP."""
    for obj in objects:
        if obj["kind"] == "Service":
            obj["spec"] = {**obj["spec"], "type": "ClusterIP", "ports": [{"port": 80, "targetPort": 8080}]}
        if obj["kind"] == "PropagationPolicy":
            selectors = obj["spec"]["resourceSelectors"]
            obj["spec"]["resourceSelectors"] = [found for found in selectors if found["name"] == "web"]
    return [obj for obj in objects if obj["metadata"]["name"] == "web"]


def _clients(objects: list[dict[str, Any]], namespace: str) -> list[dict[str, Any]]:
    (client,) = (obj for obj in objects if obj["metadata"]["name"] == "client")
    selector = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "client"}
    spec = {
        "resourceSelectors": [selector],
        "placement": {"clusterAffinity": {"clusterNames": ["cluster-1", "cluster-2"]}},
    }
    metadata = {"name": "client", "namespace": namespace}
    return [
        client,
        {
            "apiVersion": "policy.karmada.io/v1alpha1",
            "kind": "PropagationPolicy",
            "metadata": metadata,
            "spec": spec,
        },
    ]


@asynccontextmanager
async def healthy(shop: Shop) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def no_ready_pod(shop: Shop) -> AsyncIterator[None]:
    """Let cluster-3 have the Deployment without pods, by an OverridePolicy."""
    selector = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    none = {"plaintext": [{"path": "/spec/replicas", "operator": "add", "value": 0}]}
    rule = {"targetCluster": {"clusterNames": ["cluster-3"]}, "overriders": none}
    shop.apply(
        {
            "apiVersion": "policy.karmada.io/v1alpha1",
            "kind": "OverridePolicy",
            "metadata": {"name": "asleep", "namespace": shop.namespace},
            "spec": {"resourceSelectors": [selector], "overrideRules": [rule]},
        }
    )
    await shop.running("cluster-3", 0)
    yield
    shop.nodes.client().remove(resources.OVERRIDE_POLICIES, "asleep", namespace=shop.namespace)
    await shop.running("cluster-3")


@asynccontextmanager
async def no_gateway(shop: Shop) -> AsyncIterator[None]:
    """Take the data path out of cluster-3, by its label."""

    async def look() -> list[str]:
        return proxies(shop.nodes, "cluster-3")

    set_label(shop.nodes, "cluster-3", "none")
    await until(look, lambda seen: not seen, patience=PATIENCE)
    yield
    set_label(shop.nodes, "cluster-3", "net")
    await until(look, bool, patience=LONG_PATIENCE)


@asynccontextmanager
async def cut_off(shop: Shop) -> AsyncIterator[None]:
    """Drop what arrives at the gateway of cluster-3."""
    rules = "add table ip cut; add chain ip cut in { type filter hook prerouting priority -300; }"
    drop = "add rule ip cut in iifname eth0 tcp dport 80 drop"
    await nft(shop.nodes, "cluster-3", f"{rules}; {drop}")
    yield
    await nft(shop.nodes, "cluster-3", "delete table ip cut")


async def nft(nodes: Plane, member: str, rules: str) -> None:
    machine = processes.running(nodes.env.root)[machine_name(member)]
    await asyncio.to_thread(subprocess.run, enter(machine.pid, ["nft", rules]), check=True)


Fault = Callable[[Shop], AbstractAsyncContextManager[None]]


Pairs = dict[tuple[str, str], str]
"""A calling cluster, the one that is called, and why the call is not answered."""
PAIRS = {
    *(("cluster-2", exporter) for exporter in EXPORTERS),
    *(EXPORTERS, EXPORTERS[::-1]),
    *((importer, "any") for importer in ("cluster-1", "cluster-2", "cluster-3")),
}


def to_cluster_3(reason: str) -> Pairs:
    return {(importer, "cluster-3"): reason for importer in ("cluster-1", "cluster-2")}


NOT_FROM_CLUSTER_3: Pairs = dict.fromkeys((("cluster-3", "cluster-1"), ("cluster-3", "any")), "NoDataPath")


CALLED = "cluster-3 (from cluster-1, cluster-2)"


def unanswered(shop: Shop) -> Pairs:
    """Return the pairs of which `towpath verify` says that they do not work. It leaves nothing behind."""
    nodes = shop.nodes
    done = towpath("verify", f"{shop.namespace}/web", "--kubeconfig", nodes.karmada, "-o", "json")
    answer = json.loads(done.stdout)
    calls = {(call["from"], call["to"]): call["reason"] for call in answer["calls"]}
    failed = {pair: reason for pair, reason in calls.items() if reason}
    assert calls.keys() == PAIRS, answer
    assert (done.returncode, answer["verified"]) == (int(bool(failed)), not failed), done.stderr
    assert not [name for member in nodes.env.members for name in verifying(nodes, member)]
    return failed


def verifying(nodes: Plane, member: str) -> list[str]:
    """Return the namespaces in which calls are made."""
    return [name for name in nodes.client(member).names(resources.NAMESPACES) if "towpath-verify" in name]


async def reported(shop: Shop, reason: str = "", about: str = "") -> None:
    """Wait until Karmada's ServiceExport says so, by condition and event; `towpath status` says the same."""
    nodes = shop.nodes
    await until(shop.reasons, lambda seen: (reason or "Exported") in seen.values(), patience=LONG_PATIENCE)

    async def described() -> str:
        return nodes.kubectl("describe", "serviceexports.flomesh.io", "web", "-n", shop.namespace).stdout

    def is_said(text: str) -> bool:
        by_condition = re.search(rf"Reason:\s+{reason or 'Exported'}\n", text)
        by_event = not reason or re.search(rf"Warning\s+{reason}\s", text)
        return bool(by_condition and by_event) and _words(about, reason) in text

    await until(described, is_said, patience=LONG_PATIENCE)
    status = towpath("status", "-n", shop.namespace, "--kubeconfig", nodes.karmada, "-o", "json")
    (service,) = json.loads(status.stdout)["services"]
    first = service.get("first", {})
    assert (status.returncode, first.get("reason", "")) == (int(bool(reason)), reason), status.stdout


def _words(about: str, reason: str) -> str:
    return f"{about}: {CallReason.of(reason).text}" if reason else ""


@pytest.mark.parametrize(
    ("fault", "table", "pairs", "reason", "about"),
    [
        (healthy, HEALTHY, {}, "", ""),
        (no_ready_pod, WITHOUT_CLUSTER_3, to_cluster_3("NoReadyPod"), "NoReadyPod", "cluster-3"),
        (no_gateway, WITHOUT_CLUSTER_3, to_cluster_3("NoAnswer") | NOT_FROM_CLUSTER_3, "NoAnswer", CALLED),
        (cut_off, WITHOUT_CLUSTER_3, to_cluster_3("NoAnswer"), "NoAnswer", CALLED),
    ],
    ids=["healthy", "no ready pod", "no gateway", "cut off"],
)
async def test_who_answers(
    shop: Shop,
    fault: Fault,
    table: Mapping[str, tuple[Clusters, Clusters]],
    pairs: Pairs,
    reason: str,
    about: str,
) -> None:
    """And what is said of it: by `towpath verify`, `explain` and `status`, and on the ServiceExport."""
    await asyncio.gather(*map(shop.running, EXPORTERS))
    async with fault(shop):
        for name, (elsewhere, here) in table.items():
            shop.set_policy(POLICIES[name])
            await asyncio.gather(shop.answer("cluster-2", elsewhere), shop.answer("cluster-1", here))
        assert unanswered(shop) == pairs
        explained = towpath(
            "explain", f"{shop.namespace}/web", "--kubeconfig", shop.nodes.karmada, "-o", "json"
        )
        first = json.loads(explained.stdout).get("first") or {}
        assert first.get("reason", "") == reason
        assert first.get("cluster", "") == ("cluster-3" if reason else "")
        await reported(shop, reason, about)
    await reported(shop)


async def test_an_interrupted_verify_leaves_nothing_behind(shop: Shop) -> None:
    nodes = shop.nodes
    where = ("--kubeconfig", str(nodes.karmada))
    with heeding_sigint():
        process = await asyncio.create_subprocess_exec(*TOWPATH, "verify", f"{shop.namespace}/web", *where)

    async def look() -> list[str]:
        return verifying(nodes, "cluster-2")

    await until(look, bool)
    process.send_signal(signal.SIGINT)

    assert await process.wait() == INTERRUPTED
    assert not [name for member in nodes.env.members for name in verifying(nodes, member)]


async def test_a_drain_fails_no_get(shop: Shop) -> None:
    shop.set_policy(POLICIES["ActiveActive"])
    await shop.answer("cluster-2", BOTH)
    third, first = await shop.running("cluster-3"), await shop.running("cluster-1")
    order = ("cluster-3", "--service", f"{shop.namespace}/web", "--kubeconfig", shop.nodes.karmada)

    async with shop.calling("cluster-2") as running:
        await running.until(100, third)
        drained = await asyncio.to_thread(towpath, "drain", *order)
        await shop.answer("cluster-2", FIRST)
        await running.until(100, first)
        back = await asyncio.to_thread(towpath, "undrain", *order)
        await running.until(50, third)

    assert (drained.returncode, back.returncode) == (0, 0), drained.stderr + back.stderr
    assert running.failed == {}


async def test_weights_share_the_calls(shop: Shop) -> None:
    shop.set_policy(POLICIES["ActiveActive 3:1"])
    await shop.answer("cluster-2", BOTH)

    async def look() -> Counter[str]:
        return await shop.answering("cluster-2")

    seen = await until(look, lambda seen: abs(seen["cluster-1"] - 9) <= 1, patience=PATIENCE)
    assert seen.total() == CALLS
    assert seen["failed"] == 0


def is_envoy(argv: Sequence[str]) -> bool:
    return Path(argv[0]).name == "envoy"


def is_agent(argv: Sequence[str]) -> bool:
    return "net" in argv and "serve" in argv


def running_in(nodes: Plane, member: str, is_it: Callable[[Sequence[str]], bool]) -> list[psutil.Process]:
    """Return processes of a member's pods, which are found by their cgroup."""
    group = f":{cgroup(nodes.env, member)}/"
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if process.info["cmdline"] and is_it(process.info["cmdline"]) and group in _cgroups(process.pid)
    ]


def _cgroups(pid: int) -> str:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path("/proc", str(pid), "cgroup").read_text()
    return ""


async def kill_agents(nodes: Plane, killed: Counter[str]) -> None:
    """Kill the agents of all members, and again when they are started again, until cancelled."""

    async def look() -> list[tuple[str, psutil.Process]]:
        return [
            (member, process)
            for member in nodes.env.members
            for process in running_in(nodes, member, is_agent)
        ]

    while True:
        for member, process in await until(look, bool, patience=LONG_PATIENCE):
            process.kill()
            killed[member] += 1


async def replaced(nodes: Plane, before: Collection[str]) -> None:
    """Wait until each member has one pod of the data path, which is Ready and none of those before."""

    async def look() -> dict[str, bool]:
        return {
            pod["metadata"]["name"]: is_ready(pod)
            for member in nodes.env.members
            for pod in proxy_pods(nodes, member)
        }

    def is_done(seen: Mapping[str, bool]) -> bool:
        return len(seen) == len(nodes.env.members) and all(seen.values()) and not seen.keys() & before

    await until(look, is_done, patience=LONG_PATIENCE)


async def test_a_gateway_killed_fails_no_get(shop: Shop) -> None:
    shop.set_policy(POLICIES["ActiveActive"])
    await shop.answer("cluster-2", BOTH)
    third, first = await shop.running("cluster-3"), await shop.running("cluster-1")

    async with shop.calling("cluster-2") as running:
        await running.until(100, third)
        (gateway,) = running_in(shop.nodes, "cluster-3", is_envoy)
        gateway.kill()
        await running.until(200, first)
        await running.until(50, third)

    assert running.failed == {}


async def test_a_rolling_update_of_the_data_path_fails_no_get(shop: Shop) -> None:
    """In all members at once, those that call and those that answer."""
    shop.set_policy(POLICIES["ActiveActive"])
    await shop.answer("cluster-2", BOTH)
    members = shop.nodes.env.members
    before = {pod["metadata"]["name"] for member in members for pod in proxy_pods(shop.nodes, member)}

    async with shop.calling("cluster-2") as running:
        await running.until(100)
        shop.nodes.kubectl("rollout", "restart", "daemonset", "towpath-net", "-n", SYSTEM)
        await replaced(shop.nodes, before)
        await running.until(100)

    assert running.failed == {}


async def test_a_rolling_update_of_the_exporter_fails_no_get(shop: Shop) -> None:
    shop.set_policy(POLICIES["ActiveActive"])
    await shop.answer("cluster-2", BOTH)
    before = shop.pods("cluster-1") | shop.pods("cluster-3")

    async with shop.calling("cluster-2") as running:
        await running.until(50)
        shop.nodes.kubectl("rollout", "restart", "deployment", "web", "-n", shop.namespace)
        after = [await shop.running(member, but=before) for member in EXPORTERS]
        for pods_of_member in after:
            await running.until(50, pods_of_member)

    assert running.failed == {}


async def test_a_gateway_that_is_there_already_serves(
    shop: Shop, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Contour is the gateway of cluster-1, by an HTTPRoute that Karmada brings."""
    nodes, namespace = shop.nodes, shop.namespace
    node = nodes.env.members["cluster-1"].node

    def is_served(reasons: Mapping[str, str]) -> bool:
        return reasons.get("Ready") == "Exported"

    def explained() -> str:
        return towpath("explain", f"{namespace}/web", "--kubeconfig", nodes.karmada).stdout

    async def routes() -> set[str]:
        return nodes.client("cluster-1").names(resources.HTTP_ROUTES, namespace)

    nodes.kubectl("apply", "--server-side", "-f", str(contour.gateway_crds()))
    shop.set_policy(policy("ActiveActive", ONE))
    asked = f"HTTPRoute/{contour.NAMESPACE}/{contour.GATEWAY}"
    request.addfinalizer(lambda: annotate(nodes, "cluster-1", gateway=f"{node}:80", gateway_route=None))
    annotate(nodes, "cluster-1", gateway=f"{node}:{contour.LISTENING}", gateway_route=asked)
    await until(shop.reasons, lambda seen: seen.get("Ready") == "RouteNotServed", patience=PATIENCE)

    # With the CRDs of the Gateway API in the member.
    with contour.running(nodes, "cluster-1", tmp_path) as edge:

        async def served() -> list[str]:
            await shop.answering("cluster-2")
            return [line for line in edge.served if f"/{namespace}" in line and " 200 " in line]

        # Karmada looks twice a minute for new kinds, and at what a member serves.
        await until(served, bool, patience=LONG_PATIENCE)
        await shop.answer("cluster-2", FIRST)
        await until(shop.reasons, is_served, patience=PATIENCE)
        assert "Route" in explained()

        nodes.client("cluster-1").apply(contour.gateway("Same"))
        await until(shop.reasons, lambda seen: seen.get("Ready") == "RouteNotAccepted", patience=PATIENCE)
        assert "The gateway of the cluster does not accept the route." in explained()
        nodes.client("cluster-1").apply(contour.gateway())
        await until(shop.reasons, is_served, patience=PATIENCE)

        async with shop.calling("cluster-2") as running:
            await running.until(50)
            annotate(nodes, "cluster-1", gateway=f"{node}:80", gateway_route=None)
            await until(routes, lambda names: not names, patience=PATIENCE)
            await running.until(50)
        assert running.failed == {}


async def test_agents_killed_again_and_again_fail_no_get(shop: Shop) -> None:
    """In all members, those that call and those that answer."""
    shop.set_policy(POLICIES["ActiveActive"])
    await shop.answer("cluster-2", BOTH)
    members = shop.nodes.env.members
    killed: Counter[str] = Counter()

    async def look() -> list[str]:
        return [member for member in members if proxies(shop.nodes, member)]

    async def fewest() -> int:
        return min(killed[member] for member in members)

    async with shop.calling("cluster-2") as running:
        killing = asyncio.create_task(kill_agents(shop.nodes, killed))
        await running.until(SECONDS_WITHOUT_AGENT * RATE, patience=LONG_PATIENCE)
        await until(fewest, lambda number: number > 1, patience=LONG_PATIENCE)
        killing.cancel()
        await until(look, lambda seen: len(seen) == len(members), patience=LONG_PATIENCE)
        await running.until(100)

    assert running.failed == {}


async def test_without_the_data_path_a_member_keeps_no_slice(shop: Shop) -> None:
    managed = f"endpointslice.kubernetes.io/managed-by={SLICE_MANAGER}"

    async def slices() -> set[str]:
        return shop.nodes.client("cluster-3").names(resources.ENDPOINT_SLICES, selector=managed)

    assert await slices()
    async with no_gateway(shop):
        await until(slices, lambda names: not names, patience=PATIENCE)
    await until(slices, bool, patience=PATIENCE)


async def test_uninstall_takes_the_data_path_out_of_every_member(shop: Shop) -> None:
    nodes = shop.nodes
    shop.set_policy(POLICIES["ActiveActive"])
    await shop.answer("cluster-2", BOTH)

    done = towpath("uninstall", "--kubeconfig", nodes.karmada)

    assert done.returncode == 0, done.stdout + done.stderr
    kinds = (
        resources.NAMESPACES,
        resources.CLUSTER_ROLES,
        resources.CLUSTER_ROLE_BINDINGS,
        resources.ENDPOINT_SLICES,
    )

    async def left() -> list[str]:
        """Return what members have of Towpath. A namespace takes a while to end."""
        found = [
            name
            for member in nodes.env.members
            for kind in kinds
            for name in nodes.client(member).names(kind)
        ]
        return [name for name in found if "towpath" in name]

    await until(left, lambda names: not names, patience=PATIENCE)
    assert towpath("install", "--kubeconfig", nodes.karmada).returncode == 0

"""The chart on real host clusters, from the documentation alone: installed, killed, upgraded, uninstalled.

The ten-minutes page boots three clusters. Karmada's control plane is pods of cluster-1, and so is Towpath:
plugin, webhook and hooks, from the real image. Then cluster-2 is the host cluster of Towpath alone, and
Karmada runs elsewhere. Users write all the time, and what is left must follow from their exports.

The clusters have the network of those of ``nodes``. So this module comes first, and takes them down.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chaos.verdict import judge
from tests.conftest import Plane
from tests.e2e.host import PATIENCE, Reader, Release, blocks
from tests.e2e.shop import Shop, gateways
from tests.e2e.test_install import HOLDER, left
from tests.support import helm
from tests.support.checkout import TOP
from tests.support.cli import towpath
from tests.support.helm import CHART
from tests.support.waiting import until
from towpath.karmada import resources
from towpath.karmada.client import Client
from towpath.local import boot, processes, store
from towpath.local.build import ensure_binaries
from towpath.local.image import build_image
from towpath.local.nodes import packages
from towpath.local.nodes.machine import enter
from towpath.local.nodes.programs import machine_name
from towpath.local.programs import member_processes
from towpath.model.keys import Dialect
from towpath.rules.reasons import Advice
from towpath.setup.data_path import NAMESPACE as DATA_PATH

# Towpath's image is built once for the same files, in minutes on idle cores.
pytestmark = [pytest.mark.nodes, pytest.mark.timeout(2400)]

TEN_MINUTES, WITH_HELM = TOP / "docs" / "ten-minutes.md", TOP / "docs" / "tasks" / "install-with-helm.md"
UP, LOAD = 'eval "$(towpath local up --on-host)"\n', 'towpath local load "$(towpath local build --image)"\n'
DOWN = "towpath local down\n"
"""What the second page does with a Karmada of its own; the test has that of the first."""
KARMADA_PODS = 7
PARTS = ("plugin", "webhook")
LATEST = 300.0
"""Seconds until everything must be right: retries of Karmada double, and repairs wait while it is busy."""
NEXT = "99.0.0"
TOKEN = "a-token-of-more-than-16-characters"
Clients = Mapping[str, Client]


@dataclass(frozen=True)
class Followed:
    """What came of the ten-minutes page, whose last block is still to be run."""

    nodes: Plane
    reader: Reader
    output: str
    seconds: float
    clean_up: str


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Followed]:
    """Follow the ten-minutes page from nothing but the built programs, up to its clean-up."""
    packages.install(print)
    reader = Reader(tmp_path_factory.mktemp("reader"), ensure_binaries().folder)
    build_image(print)
    up, install, *steps, clean_up, _, _ = blocks(TEN_MINUTES)
    timed = "".join(f"{block}echo ran a block at $SECONDS s\n" for block in (up, install, *steps))
    began = time.monotonic()
    try:
        done = reader.run(timed)
        seconds = time.monotonic() - began
        print(done.stdout, done.stderr, f"{seconds:.0f} s", flush=True)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        yield Followed(Plane(store.load(reader.root)), reader, done.stdout, seconds, clean_up)
    finally:
        boot.down(reader.root)


@pytest.fixture
async def release(followed: Followed) -> AsyncIterator[Release]:
    """Give the release of the page, and a namespace of users on Karmada."""
    async with released(followed, "cluster-1", "karmada-system") as found:
        yield found


@asynccontextmanager
async def released(followed: Followed, host: str, release_namespace: str) -> AsyncIterator[Release]:
    nodes = followed.nodes
    namespace = f"t-{uuid.uuid4().hex[:8]}"
    nodes.kubectl("create", "namespace", namespace)
    yield Release(nodes, host, release_namespace, namespace, followed.reader)
    nodes.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture
async def members(followed: Followed) -> AsyncIterator[Clients]:
    """Return a client to the apiserver of each member."""
    env = followed.nodes.env
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(
                await Client.connect(env.kubeconfig(name), user_agent="towpath-tests")
            )
            for name in env.members
        }


@pytest.fixture
async def karmada(followed: Followed) -> AsyncIterator[Client]:
    async with await Client.connect(followed.nodes.karmada, user_agent="towpath-tests") as client:
        yield client


async def users_objects(karmada: Client, namespace: str) -> dict[str, Any]:
    """Return what users have written, without what others add to it."""
    kinds = [resources.SERVICES, resources.CONFIG_MAPS, *map(resources.service_exports, Dialect)]
    found = {
        f"{kind} {obj['metadata']['name']}": obj.get("spec") or obj.get("data")
        for kind in (*kinds, resources.PROPAGATION_POLICIES)
        for obj in await karmada.list(kind, namespace)
        if not obj["metadata"]["name"].startswith("towpath-")
    }
    found.pop(f"{resources.CONFIG_MAPS} kube-root-ca.crt", None)
    return found


async def refused_without_a_change(release: Release) -> None:
    """Give the chart the kubeconfig of the host cluster, not Karmada's: helm shows problem and fix."""
    before = left(release.nodes)
    wrong = f"--from-file=kubeconfig={release.nodes.env.kubeconfig(release.host)}"
    release.kubectl("create", "secret", "generic", "wrong", wrong)

    chart = (CHART, "--set=karmada.adminKubeconfig.secretName=wrong")
    shown = await release.helm("install", *release.flags, *chart, refused=True)

    assert "Use the kubeconfig of the Karmada apiserver, not that of its host cluster" in shown
    assert "deployment" not in release.kubectl("get", "all", "-o", "name")
    assert left(release.nodes) == before
    await release.helm("uninstall", *release.flags, "--no-hooks")
    release.kubectl("delete", "secret", "wrong")


async def nothing_is_left(release: Release, members: Clients) -> None:
    """Check Karmada, the members and the host cluster."""
    assert left(release.nodes) == []
    kinds = "deployments,pods,jobs,services,secrets,serviceaccounts,roles,rolebindings,networkpolicies,pdb"

    async def in_host() -> list[str]:
        names = release.kubectl("get", kinds, "-o", "name").split()
        return [name for name in names if "towpath" in name]

    await until(in_host, lambda names: not names, patience=PATIENCE)

    async def in_members() -> list[str]:
        kinds = [resources.service_imports(dialect) for dialect in Dialect]
        return [
            f"{name} {obj['metadata']['name']}"
            for name, client in members.items()
            for kind in kinds
            for obj in await client.list(kind, release.namespace)
        ] + [
            f"{name} {DATA_PATH}"
            for name, client in members.items()
            for obj in await client.list(resources.NAMESPACES)
            if obj["metadata"]["name"] == DATA_PATH
        ]

    await until(in_members, lambda names: not names, patience=PATIENCE)


async def nothing_is_lost(release: Release, karmada: Client, members: Clients) -> None:
    await judge(release.nodes, karmada, members, {release.namespace}, patience=LATEST, say=release.say)


async def a_service_is_imported(release: Release, members: Clients) -> None:
    """Check plugin and webhook by a service of users."""
    nodes, shop = release.nodes, Shop(release.nodes, release.namespace)
    shop.apply(shop.service(), shop.export(), shop.policy())
    assert (await shop.complete(dict(members))).keys() == members.keys()
    asked = nodes.kubectl("create", "--dry-run=server", "-f-", stdin=json.dumps(HOLDER))
    assert "spec.kubeconfig: The field was dropped" in asked.stderr, "the webhook answers"
    unknown = shop.export().replace("spec: {", "spec: {targetClusters: [a/b/c/d], ")

    async def warned() -> str:
        return nodes.kubectl("apply", "--dry-run=server", "-f-", stdin=unknown).stderr

    # A webhook is Ready without a plugin; it finds one within seconds.
    await until(warned, lambda text: Advice.UNKNOWN_TARGET_CLUSTER.text in text)
    release.say("a service is imported")


def only_exports_were_refused(refused: list[tuple[str, str]]) -> None:
    """Check that nothing else was, and these only because no webhook answered."""
    exports = {resource.plural for resource in map(resources.service_exports, Dialect)}
    assert {kind for kind, _ in refused} <= exports, refused
    assert all("failed calling webhook" in text for _, text in refused), refused


def workload(namespace: str, clusters: tuple[str, ...]) -> str:
    """Return pods that answer for the Service ``web``, and what sends them and it to clusters."""
    answer = "pipy().listen(8080).serveHTTP(() => new Message(os.env['HOSTNAME'] +' '))"
    container = {"name": "web", "image": "flomesh/pipy:latest", "command": ["pipy", "-e", answer]}
    labels, metadata = {"app": "web"}, {"name": "web", "namespace": namespace}
    pod = {"containers": [container], "terminationGracePeriodSeconds": 0}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    }
    policy = {
        "apiVersion": "policy.karmada.io/v1alpha1",
        "kind": "PropagationPolicy",
        "metadata": {"name": "pods", "namespace": namespace},
        "spec": {
            "resourceSelectors": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}],
            "placement": {"clusterAffinity": {"clusterNames": list(clusters)}},
        },
    }
    return yaml.safe_dump_all([deployment, service, policy])


async def the_page_answers(release: Release, service: str) -> None:
    """Ask the page of the release, from its node, for the service and without a token for nothing."""
    pid = processes.running(release.nodes.env.root)[machine_name(release.host)].pid
    address = release.kubectl("get", "service", "towpath-page", "-o", "jsonpath={.spec.clusterIP}")

    def ask(*headers: str) -> str:
        curl = ("curl", "-sS", "-w", "%{http_code}", "--max-time", "2", *headers)
        argv = enter(pid, (*curl, f"http://{address}:8480/api/picture"))
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout

    async def shown() -> str:
        return await asyncio.to_thread(ask, "-H", f"Authorization: Bearer {TOKEN}")

    await until(shown, lambda text: text.endswith("200") and service in text, patience=PATIENCE)
    assert ask().endswith("401")
    release.say("the page answers")


async def the_data_path_carries_calls(release: Release) -> None:
    """Let pods of each importing member call each exporting one through it."""
    nodes, shop = release.nodes, Shop(release.nodes, release.namespace)
    shop.apply(workload(release.namespace, shop.clusters))
    verify = ("verify", f"{release.namespace}/web", "--kubeconfig", nodes.karmada)

    async def verified() -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(towpath, *verify)

    done = await until(verified, lambda done: done.returncode == 0, patience=PATIENCE)
    release.say(f"the data path carries calls: {done.stdout}")


def test_the_page_leads_to_an_imported_service(followed: Followed) -> None:
    pods = re.findall(r"^\S+ +1/1 +Running ", followed.output, re.MULTILINE)
    assert len(pods) == KARMADA_PODS, followed.output
    assert re.search(r"^\d+ services?: \d+ in sync$", followed.output, re.MULTILINE)
    assert re.search(r"^web +True +False +True ", followed.output, re.MULTILINE)
    assert re.search(r"^Importing +OK +cluster-1, cluster-2, cluster-3 ", followed.output, re.MULTILINE)
    assert followed.seconds < 600


async def test_a_release_lives_through_kills_upgrade_and_rollback(
    followed: Followed, release: Release, karmada: Client, members: Clients, tmp_path: Path
) -> None:
    await release.helm("package", CHART, f"--version={NEXT}", f"--destination={tmp_path}")
    await a_service_is_imported(release, members)

    async with release.writing() as written:
        await release.kill("webhook", min(release.pods("webhook")))
        lease = await karmada.get(resources.LEASES, "towpath", "karmada-system")
        (leader,) = (pod for pod in release.pods("plugin") if pod in lease["spec"]["holderIdentity"])
        await release.kill("plugin", leader)
    release.say(f"killed a webhook and the leading plugin: {release.used()}")
    only_exports_were_refused(written.refused)

    release.kubectl("create", "secret", "generic", "towpath-page-token", f"--from-literal=token={TOKEN}")
    values = [
        *("plugin.replicas=1", "webhook.drainSeconds=8", "dataPath.enabled=true"),
        *("page.enabled=true", "page.token.secretName=towpath-page-token"),
    ]
    async with release.writing() as written:
        await release.helm(
            "upgrade",
            *(*release.flags, f"{tmp_path}/towpath-{NEXT}.tgz", "--reset-then-reuse-values", "--wait"),
            *(f"--set={value}" for value in values),
        )
        release.say("upgraded")
        assert len(release.pods("plugin")) == 1
        await the_page_answers(release, release.namespace)
        await release.helm("rollback", *release.flags, "1", "--wait")
        release.say("rolled back")
    assert not written.refused, written.refused
    assert len(release.pods("plugin")) == 2
    release.kubectl("delete", "secret", "towpath-page-token")

    await nothing_is_lost(release, karmada, members)
    await the_data_path_carries_calls(release)
    kept = await users_objects(karmada, release.namespace)
    await release.read(followed.clean_up.removesuffix(DOWN))
    release.say("uninstalled")
    await nothing_is_left(release, members)
    assert await users_objects(karmada, release.namespace) == kept
    release.say("nothing is left, and what users wrote is")


async def reboot(release: Release) -> None:
    """End everything on the node of the host cluster, start it again, and wait until the pods serve."""
    env = release.nodes.env
    machine = list(member_processes(env, env.members[release.host]))
    before = {process.pid for part in PARTS for process in release.processes(part).values()}
    await asyncio.to_thread(processes.stop, env, *machine)
    await processes.start_all(env, machine)
    release.say("rebooted the node")

    def served() -> list[str]:
        # What the apiserver has of a pod may be from before.
        fresh = [
            pod
            for part in PARTS
            for pod, process in release.processes(part).items()
            if process.pid not in before
        ]
        return [pod for pod in fresh if pod in release.pods("plugin") | release.pods("webhook")]

    async def look() -> list[str]:
        return await asyncio.to_thread(served)

    await until(look, lambda pods: len(pods) == 4, patience=PATIENCE)


async def test_karmada_runs_elsewhere_and_the_node_reboots(
    followed: Followed, karmada: Client, members: Clients
) -> None:
    nodes = followed.nodes
    (first, installs, uninstalls) = blocks(WITH_HELM)
    assert first == UP + LOAD
    # After a failure of the test before. The page has given Karmada's members their gateways.
    await asyncio.to_thread(
        helm.run, "uninstall", "towpath", "-n=karmada-system", kubeconfig=nodes.env.kubeconfig("cluster-1")
    )
    async with released(followed, "cluster-2", "towpath") as release:
        release.kubectl("create", "namespace", "towpath")
        await refused_without_a_change(release)
        release.say("refused a wrong kubeconfig")
        release.kubectl("delete", "namespace", "towpath")
        with gateways(nodes, "10.7.1"):
            await release.read(installs)
            release.say("installed")
            await a_service_is_imported(release, members)
            async with release.writing() as written:
                await reboot(release)
            only_exports_were_refused(written.refused)
            await nothing_is_lost(release, karmada, members)
            await release.read(uninstalls.removesuffix(DOWN))
        release.say("uninstalled")
        await nothing_is_left(release, members)

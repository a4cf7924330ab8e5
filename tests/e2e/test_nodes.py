"""Members with nodes: pods run, Karmada notices when a member goes, and nothing is left behind.

The first tests use one environment of three members, which is booted once in a run. Those about what is left
behind make their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from tests.conftest import Plane, attentive
from tests.support.checkout import TOP
from tests.support.cli import TOWPATH, assert_one_line, towpath
from tests.support.signals import heeding_sigint
from tests.support.waiting import until
from towpath import __version__
from towpath.karmada import resources
from towpath.karmada.client import Object
from towpath.local import processes, store
from towpath.local.members import is_ready
from towpath.local.nodes import calls
from towpath.local.nodes.images import Image, write_layout
from towpath.local.spec import host_tag

pytestmark = pytest.mark.nodes

SMALL = ("--members", "1", "--subnet", "10.0.3.0/24")
NODE_PORT = 30081
UNNOTICED = 150.0
"""Seconds: a connection to a host that is silent ends after 45 (HTTP/2 pings of client-go), on idle cores."""
PIPY = "pipy().listen(8080).serveHTTP(() => new Message(os.env['HOSTNAME'] +' '))"


def workload(namespace: str, *members: str) -> str:
    """Return a Deployment that answers with its pod's name, its Service, a client, and their policy."""

    def deployment(name: str, image: str, *command: str) -> Object:
        labels = {"app": name}
        container = {"name": name, "image": image, "command": list(command)}
        pod = {"containers": [container], "terminationGracePeriodSeconds": 0}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        }

    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {
            "type": "NodePort",
            "selector": {"app": "web"},
            "ports": [{"port": 80, "targetPort": 8080, "nodePort": NODE_PORT}],
        },
    }
    objects = [
        deployment("web", "flomesh/pipy:latest", "pipy", "-e", PIPY),
        deployment("client", "curlimages/curl", "sleep", "365d"),
        service,
    ]
    selectors = [
        {"apiVersion": o["apiVersion"], "kind": o["kind"], "name": o["metadata"]["name"]} for o in objects
    ]
    policy = {
        "apiVersion": "policy.karmada.io/v1alpha1",
        "kind": "PropagationPolicy",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {
            "resourceSelectors": selectors,
            "placement": {"clusterAffinity": {"clusterNames": list(members)}},
        },
    }
    return yaml.safe_dump_all([*objects, policy])


def pods(nodes: Plane, member: str, namespace: str, app: str = "web") -> list[str]:
    """Return the names of the pods that are Ready."""
    found = nodes.client(member).list(resources.PODS, namespace, f"app={app}")
    return [pod["metadata"]["name"] for pod in found if is_ready(pod)]


async def one_pod(nodes: Plane, member: str, namespace: str, app: str = "web", but: str = "") -> str:
    async def look() -> list[str]:
        return [name for name in pods(nodes, member, namespace, app) if name != but]

    return (await until(look, lambda found: len(found) == 1, patience=60))[0]


def answer(nodes: Plane, member: str) -> str:
    """Return what the Service answers at the port of the member's node, nothing if nothing."""
    node = nodes.env.members[member].node
    done = subprocess.run(
        ["curl", "--silent", "--max-time", "2", "--noproxy", "*", f"http://{node}:{NODE_PORT}"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def noticing(nodes: Plane) -> Iterator[None]:
    with attentive(nodes):
        yield


@pytest.fixture(scope="module")
def web(nodes: Plane, noticing: None) -> Iterator[str]:
    """Run the workload in cluster-1, by a Karmada that notices when the member goes; return its namespace."""
    namespace = f"t-{uuid.uuid4().hex[:8]}"
    nodes.create_namespace(namespace)
    nodes.client().apply(workload(namespace, "cluster-1"))
    yield namespace
    nodes.delete_namespace(namespace)


def condition(nodes: Plane, member: str) -> str:
    """Return the condition Ready of a member in Karmada."""
    found = nodes.client().get(resources.CLUSTERS, member)["status"].get("conditions", ())
    return next((c["status"] for c in found if c["type"] == "Ready"), "")


@pytest.mark.timeout(900)
async def test_the_demo_shows_the_pods_and_what_calls_get(nodes: Plane) -> None:
    done = towpath("demo", "--root", nodes.env.root)

    assert done.returncode == 0, done.stdout + done.stderr
    for member in ("cluster-1", "cluster-3"):
        (line,) = (line for line in done.stdout.splitlines() if f"{member} runs the pods" in line)
        assert line.count("httpbin-") == 2
    before, after = done.stdout.split("5. GlobalTrafficPolicy")
    assert "curl: (7) Failed to connect to httpbin.httpbin port 8080" in before
    for member in ("cluster-1", "cluster-3"):
        assert f"in {member}\n" in after
    assert re.search("40 calls answered: [23]. by cluster-1, [1]?. by cluster-3", after)
    assert "40 calls answered: 40 by cluster-3" in after


async def test_pods_find_a_service_by_its_name_and_reach_it(nodes: Plane, web: str) -> None:
    pod, client = await one_pod(nodes, "cluster-1", web), await one_pod(nodes, "cluster-1", web, "client")

    for url in (f"http://web.{web}", f"http://web.{web}.svc.cluster.local"):

        async def call(url: str = url) -> calls.Call:
            return await calls.execute(
                nodes.env, "cluster-1", web, client, "curl", "-sS", "--max-time", "5", url
            )

        # A pod is Ready before kube-proxy leads to it.
        await until(call, lambda made: (made.code, made.output) == (0, pod))

    assert answer(nodes, "cluster-1") == pod
    logs = nodes.kubectl("logs", "-n", web, pod, member="cluster-1")
    assert logs.returncode == 0, "the apiserver reaches the kubelet"


async def test_a_deleted_pod_comes_back(nodes: Plane, web: str) -> None:
    pod = await one_pod(nodes, "cluster-1", web)

    nodes.client("cluster-1").delete(resources.PODS, pod, web)

    assert await one_pod(nodes, "cluster-1", web, but=pod) != pod


async def test_a_node_that_was_rebooted_serves_again(nodes: Plane, web: str) -> None:
    """All processes of the member end, pods included. Karmada reports it, and also when they are back."""
    root = nodes.env.root
    pod = await one_pod(nodes, "cluster-1", web)

    async def ready() -> str:
        return condition(nodes, "cluster-1")

    assert await ready() == "True"
    assert towpath("local", "stop", "cluster-1", "--root", root).returncode == 0
    try:
        assert not [name for name in processes.running(root) if name.startswith("cluster-1-")]
        assert not answer(nodes, "cluster-1")
        await until(ready, lambda seen: seen != "True", patience=UNNOTICED)
    finally:
        started = towpath("local", "start", "cluster-1", "--root", root)
    assert started.returncode == 0, started.stderr
    assert towpath("local", "status", "--root", root).returncode == 0

    async def answered() -> str:
        return answer(nodes, "cluster-1")

    assert await until(answered, lambda seen: seen == pod, patience=60), "it is the same pod"
    await until(ready, lambda seen: seen == "True", patience=60)


async def test_an_image_that_is_loaded_can_be_run(nodes: Plane, tmp_path: Path) -> None:
    program = nodes.env.binaries / "pipy"
    layout = tmp_path / "layout"
    write_layout(layout, [Image("docker.io/shop/web:v1", {"bin/web": program}, ("/bin/web", "-e", PIPY))])
    archive = tmp_path / "web.tar"
    with tarfile.open(archive, "w") as made:
        made.add(layout, arcname=".")

    loaded = towpath("local", "load", archive, "--root", nodes.env.root)
    assert loaded.stdout.strip() == "docker.io/shop/web:v1", loaded.stderr
    nodes.kubectl("run", "loaded", "--image=shop/web:v1", "--labels=app=loaded", member="cluster-3")

    assert await one_pod(nodes, "cluster-3", "default", "loaded") == "loaded"
    nodes.kubectl("delete", "pod", "loaded", "--force", member="cluster-3")


@pytest.mark.image
@pytest.mark.timeout(900)
async def test_towpaths_own_image_runs_on_a_node(nodes: Plane) -> None:
    built = towpath("local", "build", "--image")
    assert built.returncode == 0, built.stderr
    archive = Path(built.stdout.strip())
    loaded = towpath("local", "load", archive, "--root", nodes.env.root)
    assert loaded.returncode == 0, loaded.stderr
    image = f"--image={loaded.stdout.strip()}"
    nodes.kubectl("run", "towpath", image, "--restart=Never", "--", "--version", member="cluster-3")

    async def phase() -> str:
        path = "jsonpath={.status.phase}"
        return nodes.kubectl("get", "pod", "towpath", "-o", path, member="cluster-3").stdout

    assert await until(phase, lambda seen: seen in {"Succeeded", "Failed"}, patience=60) == "Succeeded"
    output = nodes.kubectl("logs", "towpath", member="cluster-3").stdout
    assert output == f"towpath {__version__}\n"
    nodes.kubectl("delete", "pod", "towpath", member="cluster-3")


def traces(root: Path) -> list[str]:
    """Return what is left of an environment on this host, in words."""
    tag = host_tag(root)
    interfaces = [name for name in psutil.net_if_addrs() if name.startswith(tag)]
    hierarchies = [
        line.split()[1]
        for line in Path("/proc/self/mounts").read_text().splitlines()
        if line.split()[2].startswith("cgroup")
    ]
    cgroups = [f"{path}/{tag}" for path in hierarchies if Path(path, tag).exists()]
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(root) in line]
    found = psutil.process_iter(["pid", "cmdline"])
    running = [str(p.info) for p in found if any(str(root) in part for part in p.info["cmdline"] or ())]
    return [*interfaces, *cgroups, *mounts, *running]


async def test_a_member_with_a_node_joins_leaves_and_dies_traceless(tmp_path: Path) -> None:
    """It joins a Karmada whose other member has none; ``down`` comes after everything was killed."""
    root = tmp_path / "root"
    up = towpath("local", "up", *SMALL, "--root", root)
    assert up.returncode == 0, up.stderr
    try:
        joined = towpath("local", "join", "late", "--nodes", "--root", root)
        assert joined.returncode == 0, joined.stderr
        assert "late is Ready, with a node at 10.0.3.4" in joined.stderr
        seen = Plane(store.load(root)).kubectl("get", "nodes", "-o", "name", member="late")
        assert seen.stdout.split() == ["node/late"]

        assert towpath("local", "leave", "late", "--root", root).returncode == 0
        assert not [name for name in processes.running(root) if name.startswith("late-")]
        assert not [trace for trace in traces(root) if "late" in trace]

        again = towpath("local", "join", "late", "--nodes", "--root", root)
        assert again.returncode == 0, again.stderr
        env = store.load(root)
        run = (
            "run",
            "web",
            "--image=curlimages/curl",
            "--labels=app=web",
            "--command",
            "--",
            "sleep",
            "365d",
        )
        Plane(env).kubectl(*run, member="late")
        await one_pod(Plane(env), "late", "default")

        for _, _, process in processes.marked(root):
            os.kill(process.pid, signal.SIGKILL)
        assert traces(root), "a bridge and cgroups outlive the processes"
        in_the_way = towpath("local", "up", "--nodes", *SMALL, "--root", tmp_path / "another")
        assert_one_line(in_the_way, f"Run `towpath local down --root {root}`", code=2)
    finally:
        down = towpath("local", "down", "--root", root)
    assert down.returncode == 0, down.stderr
    assert not traces(root)
    assert not root.exists()


def test_an_interrupted_boot_leaves_no_trace(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with (
        heeding_sigint(),
        subprocess.Popen(
            [*TOWPATH, "local", "up", "--nodes", *SMALL, "--root", root],
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as command,
    ):
        assert command.stderr is not None
        for line in command.stderr:
            if "Karmada's apiserver answers" in line:
                break
        assert traces(root)
        command.send_signal(signal.SIGINT)
        _, output = command.communicate()

    assert output.splitlines()[-1] == "interrupted"
    assert not traces(root)
    assert [path.name for path in root.iterdir()] == ["logs"]


def test_a_killed_test_run_leaves_no_bridge(tmp_path: Path) -> None:
    tag = host_tag(tmp_path)
    subprocess.run(["ip", "link", "add", tag, "type", "bridge"], check=True)
    subprocess.run(["ip", "link", "add", f"{tag}.4", "type", "veth", "peer", f"{tag}.p"], check=True)
    run = f"""
import os, signal, subprocess
from tests.support import reaper
reaper.watch()
environment = {{**os.environ, {processes.MARK!r}: "{tmp_path}\\nmachine\\nsleep"}}
subprocess.Popen(["sleep", "1000"], env=environment)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", run], cwd=TOP, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr

    async def left() -> list[str]:
        return traces(tmp_path)

    asyncio.run(until(left, lambda found: not found))


def test_a_disk_that_becomes_full_leaves_no_trace(tmp_path: Path) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=640m", "tmpfs", root], check=True)
    try:
        with subprocess.Popen(
            [*TOWPATH, "local", "up", "--nodes", *SMALL, "--root", root],
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as command:
            assert command.stderr is not None
            assert any("Karmada's apiserver answers" in line for line in command.stderr)
            with (root / "filling").open("wb", buffering=0) as filling, contextlib.suppress(OSError):
                while True:
                    filling.write(bytes(1 << 20))
            _, output = command.communicate()
        left = traces(root)
    finally:
        subprocess.run(["umount", root], check=True)

    assert command.returncode == 1, output
    assert "Traceback" not in output
    assert len([line for line in output.splitlines() if line.startswith("error: ")]) == 1, output
    assert [trace for trace in left if not trace.startswith("tmpfs")] == []


def test_a_disk_that_is_too_small_is_named_first(tmp_path: Path) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", root], check=True)
    try:
        done = towpath("local", "up", "--nodes", *SMALL, "--root", root)
        assert_one_line(done, "48 MiB are free", "Free space")
        assert [*root.iterdir()] == []
    finally:
        subprocess.run(["umount", root], check=True)


def test_a_missing_capability_is_named_before_anything_is_made(tmp_path: Path) -> None:
    limited = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]
    root = tmp_path / "root"

    done = subprocess.run(
        [*limited, *TOWPATH, "local", "up", "--nodes", *SMALL, "--root", root],
        capture_output=True,
        text=True,
        check=False,
    )

    assert_one_line(done, "This machine cannot run nodes", "unshare")
    assert not traces(root)

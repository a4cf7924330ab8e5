"""The chart on a real host cluster: installed by its page, killed, upgraded, rolled back and uninstalled.

cluster-2 is the host cluster: plugin, webhook and hooks are pods of its node, made from the real image.
Karmada is processes on this machine beside it. Users write all the time, and what is left must follow from
their exports.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import psutil
import pytest

from tests.chaos.churn import Churn
from tests.chaos.verdict import differences
from tests.conftest import Plane
from tests.e2e.shop import Shop, gateways
from tests.e2e.test_install import HOLDER, left
from tests.support import helm
from tests.support.checkout import TOP
from tests.support.cli import towpath
from tests.support.helm import CHART
from tests.support.waiting import until
from towpath.errors import ApiError
from towpath.karmada import resources
from towpath.karmada.client import Client, Resource
from towpath.local import processes
from towpath.local.image import build_image
from towpath.local.members import is_ready
from towpath.local.nodes import images
from towpath.local.nodes.configuration import cgroup
from towpath.local.spec import PLUGIN, WEBHOOK
from towpath.model.keys import Dialect
from towpath.rules.reasons import Advice
from towpath.setup.install import install

# Towpath's image is built once for the same files.
pytestmark = [pytest.mark.nodes, pytest.mark.timeout(900)]

PAGE = TOP / "docs" / "tasks" / "install-with-helm.md"
STARTS = 'eval "$(towpath local up --nodes)"\ntowpath local load "$(towpath local build --image)"\n'
ENDS = "towpath local down\n"
"""What the page does with a Karmada of its own; the test has one."""
HOST = "cluster-2"
NAMESPACE = "towpath"
RELEASE = ("towpath", f"--kube-context={HOST}", f"--namespace={NAMESPACE}")
PREVIOUS = "0.0.9"
WRITERS, WRITES_PER_SECOND, SERVICES = 4, 50, 24
PATIENCE = 240.0
T = TypeVar("T")


@dataclass
class Written:
    """What became of the writes of users: how many of each kind, and which were refused."""

    done: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[str, str]] = field(default_factory=list)
    slowest: float = 0.0
    began: float = field(default_factory=time.monotonic)

    async def counted(self, resource: Resource, write: Awaitable[T], otherwise: T) -> T:
        began = time.monotonic()
        try:
            return await write
        except ApiError as error:
            self.refused.append((resource.plural, str(error)))
            return otherwise
        finally:
            self.done[resource.plural] += 1
            self.slowest = max(self.slowest, time.monotonic() - began)

    def __str__(self) -> str:
        seconds = time.monotonic() - self.began
        return (
            f"{self.done.total() / seconds:.0f} writes a second for {seconds:.0f} s {dict(self.done)}, "
            f"{len(self.refused)} refused, the slowest took {self.slowest:.1f} s"
        )


class CountingClient(Client):
    """A user's client: a write that is refused is noted, and the user goes on."""

    written: Written

    async def apply(self, resource: Resource, obj: Mapping[str, Any], manager: str, **options: Any) -> bytes:
        write = super().apply(resource, obj, manager, **options)
        return await self.written.counted(resource, write, b"")

    async def delete(self, resource: Resource, name: str, namespace: str = "", *, uid: str = "") -> bool:
        write = super().delete(resource, name, namespace, uid=uid)
        return await self.written.counted(resource, write, otherwise=False)


@dataclass
class Host:
    """The host cluster, and a namespace of users on Karmada."""

    nodes: Plane
    namespace: str
    folder: Path
    """Where the commands are that the page names."""
    began: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self.began:6.1f} s  {text}", flush=True)

    async def read(self, block: str) -> None:
        """Run a block of the page in a shell as its reader has it."""
        configs = [self.nodes.karmada, *map(self.nodes.env.kubeconfig, self.nodes.env.members)]
        environment = {
            "PATH": f"{self.folder}:{self.nodes.env.binaries}:/usr/bin:/bin",
            "HOME": str(self.folder),
            "KUBECONFIG": ":".join(map(str, configs)),
        }
        argv = ["bash", "-euo", "pipefail", "-c", block]
        run = partial(
            subprocess.run, argv, cwd=TOP, env=environment, capture_output=True, text=True, check=False
        )
        done = await asyncio.to_thread(run)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{self.state()}"

    async def helm(self, *arguments: str | Path, refused: bool = False) -> str:
        """Run helm, and return what it wrote."""
        config = self.nodes.env.kubeconfig(HOST)
        done = await asyncio.to_thread(helm.run, *arguments, kubeconfig=config)
        assert (done.returncode != 0) is refused, f"{done.stdout}\n{done.stderr}\n{self.state()}"
        return done.stdout + done.stderr

    def kubectl(self, *arguments: str, check: bool = True) -> str:
        return self.nodes.kubectl("-n", NAMESPACE, *arguments, member=HOST, check=check).stdout

    def state(self) -> str:
        """Return the pods of the release, its events and logs, for the message of a failure."""
        logs = ("logs", "--all-pods", "--tail=15", "--prefix")
        parts = [("get", "pods", "-o", "wide"), ("get", "events")]
        parts += [(*logs, f"job/towpath-{step}") for step in ("install", "register", "uninstall")]
        parts += [(*logs, f"deployment/towpath-{part}") for part in ("plugin", "webhook")]
        return "\n".join(self.kubectl(*part, check=False) for part in parts)

    def pods(self, part: str) -> set[str]:
        """Return the Ready pods of a component."""
        component = f"app.kubernetes.io/component={part}"
        found = self.nodes.client(HOST).list(resources.PODS, NAMESPACE, component)
        return {pod["metadata"]["name"] for pod in found if is_ready(pod)}

    def processes(self, part: str) -> dict[str, psutil.Process]:
        """Return the process of a component in each of its pods."""
        group = cgroup(self.nodes.env, HOST)
        found = {}
        for process in psutil.process_iter(["cmdline"]):
            if {"serve", part} <= {*(process.info["cmdline"] or ())}:
                with suppress(OSError, psutil.Error):  # it has ended since
                    if f":{group}/" in Path("/proc", str(process.pid), "cgroup").read_text():
                        found[process.environ()["HOSTNAME"]] = process
        return found

    def used(self) -> str:
        """Return what each process has used so far."""
        used = [
            f"{pod} {process.memory_info().rss / 2**20:.0f} MiB, {sum(process.cpu_times()[:2]):.1f} s of CPU"
            for part in ("plugin", "webhook")
            for pod, process in self.processes(part).items()
        ]
        return "; ".join(used)

    async def kill(self, part: str, pod: str) -> None:
        """Kill the process of a pod, and wait until the pod serves again."""
        killed = self.processes(part)[pod]
        killed.kill()

        async def look() -> tuple[psutil.Process | None, set[str]]:
            return await asyncio.to_thread(lambda: (self.processes(part).get(pod), self.pods(part)))

        await until(look, lambda seen: seen[0] not in {None, killed} and pod in seen[1], patience=PATIENCE)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Written]:
        """Let users write to Karmada at a steady rate during the block."""
        client = await CountingClient.connect(self.nodes.karmada, user_agent="towpath-tests")
        assert isinstance(client, CountingClient)
        client.written = Written()
        churn = Churn(client, self.namespace, SERVICES, Random(17))
        async with client:
            writers = [asyncio.create_task(self._write(client, churn, n)) for n in range(WRITERS)]
            try:
                yield client.written
            finally:
                for writer in writers:
                    writer.cancel()
                await asyncio.gather(*writers, return_exceptions=True)
        self.say(str(client.written))

    async def _write(self, client: Client, churn: Churn, writer: int) -> None:
        pause = WRITERS / WRITES_PER_SECOND
        for number in count():
            metadata = {"name": f"other-{writer}", "namespace": self.namespace}
            other = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": metadata,
                "data": {"n": str(number)},
            }
            await asyncio.gather(client.apply(resources.CONFIG_MAPS, other, "user"), asyncio.sleep(pause))
            await asyncio.gather(churn.step(), asyncio.sleep(pause))


@pytest.fixture
async def host(nodes: Plane, tmp_path: Path) -> AsyncIterator[Host]:
    """Give a host cluster without Towpath in it, and install again what the chart uninstalls at its end."""
    processes.stop(nodes.env, PLUGIN, WEBHOOK)
    images.add(nodes.env.images, await asyncio.to_thread(build_image, print))
    (tmp_path / "helm").symlink_to(helm.program())
    namespace = f"t-{uuid.uuid4().hex[:8]}"
    nodes.create_namespace(namespace)
    found = Host(nodes, namespace, tmp_path)
    yield found
    await asyncio.to_thread(
        helm.run, "uninstall", *RELEASE, "--no-hooks", kubeconfig=nodes.env.kubeconfig(HOST)
    )
    nodes.kubectl("delete", "namespace", NAMESPACE, "--wait=false", "--ignore-not-found", member=HOST)
    nodes.delete_namespace(namespace)
    await asyncio.to_thread(towpath, "uninstall", "--kubeconfig", nodes.karmada)  # after a failure
    async with await Client.connect(nodes.karmada, user_agent="towpath-tests") as karmada:
        await install(karmada, nodes.env.crds)


def blocks() -> list[str]:
    """Return the blocks of the page for this machine, without those of the local Karmada."""
    found = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found[0] == STARTS
    assert found[-1].endswith(ENDS)
    return [*found[1:-1], found[-1].removesuffix(ENDS)]


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


async def refused_without_a_change(host: Host) -> None:
    """Give the chart the kubeconfig of the host cluster, not Karmada's: helm shows problem and fix."""
    before = left(host.nodes)
    host.nodes.kubectl("create", "namespace", NAMESPACE, member=HOST)
    wrong = f"--from-file=kubeconfig={host.nodes.env.kubeconfig(HOST)}"
    host.kubectl("create", "secret", "generic", "wrong", wrong)

    chart = (CHART, "--set=karmada.adminKubeconfig.secretName=wrong")
    shown = await host.helm("install", *RELEASE, *chart, refused=True)

    assert "Use the kubeconfig of the Karmada apiserver, not that of its host cluster" in shown
    assert "deployment" not in host.kubectl("get", "all", "-o", "name")
    assert left(host.nodes) == before
    await host.helm("uninstall", *RELEASE, "--no-hooks")
    host.nodes.kubectl("delete", "namespace", NAMESPACE, member=HOST)


async def nothing_is_left(host: Host, members: Mapping[str, Client]) -> None:
    """Check Karmada, the members and the host cluster, where the administrator's Secret is the user's."""
    assert left(host.nodes) == []
    kinds = "deployments,pods,jobs,services,secrets,serviceaccounts,roles,rolebindings,networkpolicies,pdb"

    async def in_host() -> list[str]:
        return host.kubectl("get", kinds, "-o", "name").split()

    kept = ["secret/karmada-admin", "serviceaccount/default"]
    await until(in_host, lambda names: names == kept, patience=PATIENCE)

    async def in_members() -> list[str]:
        kinds = [resources.service_imports(dialect) for dialect in Dialect]
        return [
            f"{name} {obj['metadata']['name']}"
            for name, client in members.items()
            for kind in kinds
            for obj in await client.list(kind, host.namespace)
        ]

    await until(in_members, lambda names: not names, patience=PATIENCE)


async def test_a_release_lives_through_kills_upgrade_and_rollback(host: Host) -> None:
    nodes, (installs, uninstalls) = host.nodes, blocks()
    await host.helm("package", CHART, f"--version={PREVIOUS}", f"--destination={host.folder}")
    previous = f"{host.folder}/towpath-{PREVIOUS}.tgz"
    async with AsyncExitStack() as stack:
        clients = {
            name: await stack.enter_async_context(
                await Client.connect(nodes.env.kubeconfig(name), user_agent="towpath-tests")
            )
            for name in ("karmada", *nodes.env.members)
        }
        karmada = clients.pop("karmada")
        await refused_without_a_change(host)
        host.say("refused a wrong kubeconfig")

        stack.enter_context(gateways(nodes, "10.7.1"))
        await host.read(installs.replace("deploy/charts/towpath", previous))
        host.say("installed")
        shop = Shop(nodes, host.namespace)
        shop.apply(shop.service(), shop.export(), shop.policy())
        assert (await shop.complete(clients)).keys() == clients.keys()
        asked = nodes.kubectl("create", "--dry-run=server", "-f-", stdin=json.dumps(HOLDER))
        assert "spec.kubeconfig: The field was dropped" in asked.stderr, "the webhook answers"
        unknown = shop.export().replace("spec: {", "spec: {targetClusters: [a/b/c/d], ")

        async def warned() -> str:
            return nodes.kubectl("apply", "--dry-run=server", "-f-", stdin=unknown).stderr

        # A webhook is Ready without a plugin; it finds one within seconds.
        await until(warned, lambda text: Advice.UNKNOWN_TARGET_CLUSTER.text in text)
        host.say("first service imported")

        async with host.writing() as written:
            await host.kill("webhook", min(host.pods("webhook")))
            lease = await karmada.get(resources.LEASES, "towpath", "karmada-system")
            (leader,) = (pod for pod in host.pods("plugin") if pod in lease["spec"]["holderIdentity"])
            await host.kill("plugin", leader)
        host.say(f"killed a webhook and the leading plugin: {host.used()}")
        exports = {resource.plural for resource in map(resources.service_exports, Dialect)}
        assert {kind for kind, _ in written.refused} <= exports, written.refused
        assert all("failed calling webhook" in text for _, text in written.refused), written.refused

        async with host.writing() as written:
            values = ("--set=plugin.replicas=1", "--set=webhook.drainSeconds=8")
            await host.helm("upgrade", *RELEASE, CHART, "--reset-then-reuse-values", "--wait", *values)
            host.say("upgraded")
            assert len(host.pods("plugin")) == 1
            await host.helm("rollback", *RELEASE, "1", "--wait")
            host.say("rolled back")
        assert not written.refused, written.refused
        assert len(host.pods("plugin")) == 2

        async def lost() -> list[str]:
            return await differences(nodes, karmada, clients, {host.namespace})

        await until(lost, lambda found: not found, patience=PATIENCE)
        host.say("nothing is lost")
        kept = await users_objects(karmada, host.namespace)
        await host.read(uninstalls)
        host.say("uninstalled")
        await nothing_is_left(host, clients)
        assert await users_objects(karmada, host.namespace) == kept
        host.say("nothing is left, and what users wrote is")

"""A release of the chart on a real host cluster, readers of the documentation, and users who write."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import psutil

from tests.chaos.churn import Churn
from tests.conftest import Plane
from tests.support import helm
from tests.support.checkout import TOP
from tests.support.waiting import until
from towpath.errors import ApiError
from towpath.karmada import resources
from towpath.karmada.client import Client, Resource
from towpath.local import store
from towpath.local.cachefolder import cache_root
from towpath.local.members import is_ready
from towpath.local.nodes.configuration import cgroup

WRITERS, WRITES_PER_SECOND, SERVICES = 4, 50, 24
KARMADAS_WEBHOOK = "https://karmada-webhook.karmada-system.svc:443/"
PATIENCE = 120.0
LONGEST_SECONDS = 900
T = TypeVar("T")


def blocks(page: Path) -> list[str]:
    """Return the blocks of a page that a reader runs."""
    return re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


class Reader:
    """Runs blocks of the documentation in a shell as its reader has it, who has a home of his own."""

    def __init__(self, home: Path, binaries: Path) -> None:
        self._home = home
        commands = home / "bin"
        commands.mkdir()
        (commands / "helm").symlink_to(helm.program())
        (commands / "towpath").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m towpath "$@"\n')
        (commands / "towpath").chmod(0o755)
        self._environment = {
            **{
                name: text
                for name, text in os.environ.items()
                if name not in {"KUBECONFIG", "XDG_STATE_HOME"}
            },
            "PATH": f"{commands}:{binaries}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(home),
            "XDG_CACHE_HOME": str(cache_root().parent),
        }

    @property
    def root(self) -> Path:
        """Where ``towpath local up`` puts the reader's Karmada."""
        return self._home / ".local" / "state" / "towpath" / "local"

    def run(self, block: str) -> subprocess.CompletedProcess[str]:
        """Run a block to its end; code 124 tells that it has none."""
        environment = dict(self._environment)
        if (self.root / store.FILE).exists():
            env = store.load(self.root)
            environment["KUBECONFIG"] = ":".join(map(str, [env.karmada, *map(env.kubeconfig, env.members)]))
        # One that hangs ends with what it has started, in good order: a boot clears away behind itself.
        argv = ["timeout", "--kill-after=60", str(LONGEST_SECONDS), "bash", "-euo", "pipefail", "-c", block]
        return subprocess.run(argv, cwd=TOP, env=environment, capture_output=True, text=True, check=False)


@dataclass
class Written:
    """What became of the writes of users: how many of each kind, and which were not accepted."""

    done: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[str, str]] = field(default_factory=list)
    """Kind and text of what Towpath refused, or the apiserver on its behalf."""
    unserved: list[str] = field(default_factory=list)
    """What a busy Karmada did not answer, or refused because its own database or webhook was late."""
    slowest: float = 0.0
    began: float = field(default_factory=time.monotonic)

    async def counted(self, resource: Resource, write: Awaitable[T], otherwise: T) -> T:
        began = time.monotonic()
        try:
            return await write
        except ApiError as error:
            text = str(error)
            failed = not error.status or (error.status >= 500 and "webhook" not in text)
            if failed or KARMADAS_WEBHOOK in text:
                self.unserved.append(text)
            else:
                self.refused.append((resource.plural, text))
            return otherwise
        finally:
            self.done[resource.plural] += 1
            self.slowest = max(self.slowest, time.monotonic() - began)

    def __str__(self) -> str:
        seconds = time.monotonic() - self.began
        return (
            f"{self.done.total() / seconds:.0f} writes a second for {seconds:.0f} s {dict(self.done)}, "
            f"{len(self.refused)} refused, the slowest took {self.slowest:.1f} s, not served: {self.unserved}"
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
class Release:
    """A release of the chart in a host cluster, and a namespace of users on Karmada."""

    nodes: Plane
    host: str
    release_namespace: str
    namespace: str
    reader: Reader
    began: float = field(default_factory=time.monotonic)

    @property
    def flags(self) -> tuple[str, ...]:
        """What names the release to helm."""
        return ("towpath", f"--kube-context={self.host}", f"--namespace={self.release_namespace}")

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self.began:6.1f} s  {text}", flush=True)

    async def read(self, block: str) -> None:
        """Run a block of a page."""
        done = await asyncio.to_thread(self.reader.run, block)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{self.state()}"

    async def helm(self, *arguments: str | Path, refused: bool = False) -> str:
        """Run helm, and return what it wrote."""
        config = self.nodes.env.kubeconfig(self.host)
        done = await asyncio.to_thread(helm.run, *arguments, kubeconfig=config)
        assert (done.returncode != 0) is refused, f"{done.stdout}\n{done.stderr}\n{self.state()}"
        return done.stdout + done.stderr

    def kubectl(self, *arguments: str, check: bool = True) -> str:
        return self.nodes.kubectl(
            "-n", self.release_namespace, *arguments, member=self.host, check=check
        ).stdout

    def state(self) -> str:
        """Return the pods of the release, its events and logs, for the message of a failure."""
        logs = ("logs", "--all-pods", "--tail=15", "--prefix")
        parts = [("get", "pods", "-o", "wide"), ("get", "events")]
        parts += [(*logs, f"job/towpath-{step}") for step in ("install", "register", "uninstall")]
        parts += [(*logs, f"deployment/towpath-{part}") for part in ("plugin", "webhook")]
        return "\n".join(self.kubectl(*part, check=False) for part in parts)

    def pods(self, part: str) -> set[str]:
        """Return the Ready pods of a component."""
        selector = f"app.kubernetes.io/component={part}"
        found = self.nodes.client(self.host).list(resources.PODS, self.release_namespace, selector)
        return {pod["metadata"]["name"] for pod in found if is_ready(pod)}

    def processes(self, part: str) -> dict[str, psutil.Process]:
        """Return the process of a component in each of its pods."""
        group = cgroup(self.nodes.env, self.host)
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
        assert 2 * len(client.written.unserved) < client.written.done.total(), "Karmada serves most writes"

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
